"""The batched attack against the naive reference, and its independence of the batch."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import uae
from tests import naive
from uae import losses, models, sampling

SEED = 7


@pytest.fixture(scope="module")
def setting():
    """A small trained-looking autoencoder and images, in float64."""
    torch.manual_seed(0)
    model = models.build("convolutional", (1, 4, 4), widths=(6, 4)).double().eval()
    images = torch.rand(5, 1, 4, 4, dtype=torch.float64)
    return model, images


def samplers():
    return {"convolution": uae.ConvolutionOutput(), "random": uae.RandomSampling(count=7, dim=13, std=0.3)}


@pytest.mark.parametrize("engine", ["auto", "portable"])
@pytest.mark.parametrize("init", ["zeros", "noise"])
@pytest.mark.parametrize("sampler", ["convolution", "random"])
@pytest.mark.parametrize("critic", ["vanilla", "released"])
def test_agrees_with_the_naive_reference(setting, critic, sampler, init, engine):
    """delta, MI and success to 1e-6 after all steps, in float64, for every combination."""
    model, images = setting
    # A critic that learns fast and a step that moves: an error in either would show.
    mine = uae.MINE(critic, inner_steps=4, lr=2e-3, samples=samplers()[sampler], engine=engine)
    attack = uae.MinMaxAttack(steps=8, alpha=0.3, beta=2.0, mi=mine, init=init)
    index = torch.tensor([3, 0, 12345, 7, 4])
    result = attack(losses.Reconstruction(model), images, seed=SEED, index=index)

    bound = samplers()[sampler].bind(model, images, SEED)
    successes = 0
    for i, x in enumerate(images):
        kept, information, success = naive.minmax(
            model,
            lambda x: bound.compute(x, 0),
            x[None],
            kind=critic,
            map_shape=bound.map_shape,
            init=init,
            steps=8,
            inner_steps=4,
            lr=2e-3,
            seed=SEED,
            index=int(index[i]),
            alpha=0.3,
            beta=2.0,
        )
        assert bool(result.success[i]) is success
        torch.testing.assert_close(result.adv[i] - x, kept[0], atol=1e-6, rtol=0)
        if success:
            successes += 1
            assert result.mi[i].item() == pytest.approx(information, abs=1e-6)
            assert result.loss[i] <= result.loss_clean[i]
    assert successes  # otherwise nothing was compared


@settings(max_examples=10, deadline=None)
@given(
    order=st.permutations(range(6)),
    batch_size=st.integers(1, 6),
    engine=st.sampled_from(["auto", "portable"]),
    maps=st.booleans(),
)
def test_a_result_depends_on_its_sample_alone(order, batch_size, engine, maps):
    torch.manual_seed(1)
    model = models.build("convolutional", (1, 4, 4), widths=(6, 4)).double().eval()
    images = torch.rand(6, 1, 4, 4, dtype=torch.float64)
    sampler = sampling.ConvolutionOutput() if maps else sampling.RandomSampling(count=5, dim=9)
    mine = uae.MINE(inner_steps=3, lr=1e-3, samples=sampler, engine=engine)
    attack = uae.MinMaxAttack(steps=5, alpha=0.3, mi=mine, init="noise")
    loss = losses.Reconstruction(model)
    whole = attack(loss, images, seed=SEED)
    order = torch.tensor(order[:4])
    part = uae.MinMaxAttack(steps=5, alpha=0.3, mi=mine, init="noise", batch_size=batch_size)(
        loss, images[order], seed=SEED, index=order
    )
    torch.testing.assert_close(part.adv, whole.adv[order], atol=1e-9, rtol=0)
    torch.testing.assert_close(part.mi, whole.mi[order], atol=1e-9, rtol=0, equal_nan=True)
    assert torch.equal(part.success, whole.success[order])


def test_l2_uae_is_projected_gradient_ascent_on_the_loss(setting):
    """With mi=None and c = 0 the attack ascends the loss itself: compared with a loop of autograd."""
    model, images = setting
    attack = uae.MinMaxAttack(mi=None, steps=4, alpha=0.5, beta=0.0, on_failure="best")
    loss = losses.Reconstruction(model)
    result = attack(loss, images)
    delta = torch.zeros_like(images)
    lowest = None
    for _ in range(4):
        delta.requires_grad_()
        (grad,) = torch.autograd.grad(loss(images + delta, images).sum(), delta)
        delta = (images + (delta + 0.5 * grad).clamp(-1, 1)).clamp(0, 1).detach() - images
        lowest = delta if lowest is None else lowest
    failed = ~result.success
    assert failed.any()
    # Ascending raises the loss, so the smallest f is that of the first iterate.
    torch.testing.assert_close(result.adv[failed], (images + lowest)[failed], atol=1e-9, rtol=0)


def test_released_random_sampling_redraws_and_standardises(setting):
    model, images = setting
    bound = uae.RandomSampling(count=4, dim=50, std=50**-0.5, standardize=True, redraw=True).bind(
        model, images, 0
    )
    first, second = bound.compute(images, 0), bound.compute(images, 1)
    assert not torch.allclose(first, second)
    torch.testing.assert_close(first.mean(-1), torch.zeros(5, 4).double(), atol=1e-9, rtol=0)
    torch.testing.assert_close(first.std(-1, correction=0), torch.ones(5, 4).double(), atol=1e-9, rtol=0)
