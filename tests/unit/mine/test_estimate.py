"""The estimate of compressed samples alone: its value, and samples that it refuses."""

import math

import pytest
import torch

import uae


def test_the_estimate_of_samples_that_want_a_gradient_carries_none():
    x, z = torch.rand(2, 3, 5, 7, generator=torch.Generator().manual_seed(0)).requires_grad_()
    values = [uae.MINE(inner_steps=2, engine=engine)(x, z) for engine in ("auto", "portable")]
    assert not any(value.requires_grad for value in values)
    torch.testing.assert_close(*values)


@pytest.mark.parametrize(
    ("z", "index", "message"),
    [
        (torch.rand(3, 8, 64), None, r"shape \(3, 8, 64\): these critics are for \(3, 16, 64\)"),
        (torch.rand(2, 16, 64), None, r"shape \(2, 16, 64\)"),
        (torch.rand(3, 16, 61), None, r"shape \(3, 16, 61\)"),
        (torch.rand(3, 16, 64), torch.arange(2), r"index has shape \(2,\): .* each of 3 samples"),
    ],
)
@pytest.mark.parametrize("critic", ["vanilla", "released"])
def test_compressed_samples_that_do_not_fit(critic, z, index, message):
    """The compiled kernels would read past their ends."""
    with pytest.raises(ValueError, match=message):
        uae.MINE(critic=critic)(torch.rand(3, 16, 64), z, index=index)


@pytest.mark.parametrize("x", [torch.rand(16, 64), torch.ones(3, 16, 64).long()])
def test_compressed_samples_that_are_none(x):
    with pytest.raises(ValueError, match=r"compressed samples are floats \(N, K, D\)"):
        uae.MINE()(x, x)


@pytest.mark.parametrize("number", [0, 1])
def test_compressed_samples_that_are_no_tensors(number):
    pair = [torch.rand(3, 16, 64), torch.rand(3, 16, 64)]
    pair[number] = pair[number].numpy()
    with pytest.raises(ValueError, match="compressed samples are a ndarray: need a torch"):
        uae.MINE()(*pair)


def test_the_index_of_an_estimate_may_be_elsewhere():
    """As that of an attack: it goes to the samples' device."""
    moved = []

    class Index(torch.Tensor):
        def to(self, *arguments, **options):
            moved.append(arguments)
            return super().to(*arguments, **options)

    x = torch.rand(3, 16, 64)
    found = uae.MINE(inner_steps=1)(x, x, index=torch.tensor([4, 2, 9]).as_subclass(Index))
    assert (x.device,) in moved
    assert torch.equal(found.as_subclass(torch.Tensor), uae.MINE(inner_steps=1)(x, x, index=[4, 2, 9]))


def test_mutual_information_of_gaussians_against_its_closed_form():
    """MINE approaches -log(1 - rho^2) / 2 from below as the critic trains."""
    generator = torch.Generator().manual_seed(0)
    rho = 0.9
    x, noise = torch.randn(2, 1, 4000, 1, generator=generator)
    z = rho * x + math.sqrt(1 - rho**2) * noise
    estimate = uae.MINE(inner_steps=1500, lr=5e-3, hidden=10)(x, z).item()
    exact = -0.5 * math.log(1 - rho**2)
    assert 0.75 * exact < estimate < exact + 0.1
    assert abs(uae.MINE(inner_steps=300, lr=5e-3)(x, noise).item()) < 0.05
