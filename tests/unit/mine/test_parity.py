"""The batched attack against the naive reference, and its independence of the batch."""

from __future__ import annotations

import math

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


SAMPLERS = {
    "convolution": uae.ConvolutionOutput(),
    "random": uae.RandomSampling(count=7, dim=13, power=0.5),
    # As the authors' code has them.
    "activation": uae.ConvolutionOutput("encoder.1"),
    "redrawn": uae.RandomSampling(count=7, dim=13, power=0.5, standardize=True, redraw=True),
}


def by_hand(sampler, model):
    """The naive reference's own samplers, and the shape of their maps."""
    if sampler in ("convolution", "activation"):
        return naive.convolution_output(model, sampler == "activation"), (4, 4)
    released = sampler == "redrawn"
    return naive.random_sampling(7, 13, 0.5, SEED, standardize=released, redraw=released), None


def compare(attack, loss, model, images, sampler="convolution", **reference):
    """Attack all samples at once and one by one by the reference; the number of successes."""
    index = torch.tensor([3, 0, 12345, 7, 4])
    result = attack(loss, images, seed=SEED, index=index)
    features, map_shape = by_hand(sampler, model)
    for i, x in enumerate(images):
        kept, best, success = naive.minmax(
            model, features, x[None], map_shape=map_shape, seed=SEED, index=int(index[i]), **reference
        )
        assert bool(result.success[i]) is success
        torch.testing.assert_close(result.adv[i] - x, kept[0], atol=1e-6, rtol=0)
        if math.isfinite(best) and attack.mi is not None:
            assert result.mi[i].item() == pytest.approx(best, abs=1e-6)
        if success:
            assert result.loss[i] <= result.loss_clean[i]
            assert 1 <= result.step[i] <= attack.steps
    return int(result.success.sum())


@pytest.mark.parametrize("engine", ["auto", "portable"])
@pytest.mark.parametrize("init", ["zeros", "noise"])
@pytest.mark.parametrize("sampler", ["convolution", "random"])
@pytest.mark.parametrize("critic", ["vanilla", "released"])
def test_agrees_with_the_naive_reference(setting, critic, sampler, init, engine):
    """delta, MI and success to 1e-6 after all steps, in float64, for every combination."""
    model, images = setting
    # A critic that learns fast and a step that moves: an error in either would show.
    mine = uae.MINE(critic, inner_steps=4, lr=2e-3, samples=SAMPLERS[sampler], engine=engine)
    attack = uae.MinMaxAttack(steps=8, alpha=0.3, beta=2.0, mi=mine, init=init)
    reference = {
        "kind": critic,
        "steps": 8,
        "alpha": 0.3,
        "beta": 2.0,
        "inner_steps": 4,
        "lr": 2e-3,
        "init": init,
    }
    assert compare(attack, losses.Reconstruction(model), model, images, sampler, **reference)


@pytest.mark.parametrize("sampler", ["activation", "redrawn"])
def test_agrees_with_the_naive_reference_on_the_released_settings(setting, sampler):
    model, images = setting
    mine = uae.MINE(inner_steps=4, lr=2e-3, samples=SAMPLERS[sampler])
    released = {"init": "noise", "c0": 1e-3, "mi_floor": 0.0, "on_failure": "best"}
    attack = uae.MinMaxAttack(steps=8, alpha=0.3, beta=2.0, mi=mine, **released)
    reference = {"kind": "vanilla", "steps": 8, "alpha": 0.3, "beta": 2.0, "inner_steps": 4, "lr": 2e-3}
    loss = losses.Reconstruction(model, squared=True)
    assert compare(attack, loss, model, images, sampler, squared=True, **reference, **released)


@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("on_failure", ["original", "best"])
def test_l2_uae_agrees_with_the_naive_reference(setting, squared, on_failure):
    """Section 5.4: the loss is maximised under the same criterion; mi_floor is MINE's alone."""
    model, images = setting
    common = {
        "steps": 12,
        "alpha": 0.05,
        "beta": 30.0,
        "init": "noise",
        "on_failure": on_failure,
        "mi_floor": 0.0,
    }
    attack = uae.MinMaxAttack(mi=None, **common)
    loss = losses.Reconstruction(model, squared)
    assert compare(attack, loss, model, images, kind=None, squared=squared, **common)


def test_a_black_image_survives_standardising(setting):
    model, images = setting
    images = images.clone()
    images[1] = 0
    mine = uae.MINE(inner_steps=2, samples=SAMPLERS["redrawn"])
    result = uae.MinMaxAttack(steps=2, mi=mine)(losses.Reconstruction(model), images)
    assert result.adv.isfinite().all()


@pytest.mark.parametrize("engine", ["auto", "portable"])
@pytest.mark.parametrize("critic", ["vanilla", "released"])
def test_autocast_leaves_the_critics_in_full_precision(critic, engine):
    x, z = torch.rand(2, 3, 6, 20, generator=torch.Generator().manual_seed(0))
    mine = uae.MINE(critic, inner_steps=3, lr=1e-2, engine=engine)
    expected = mine(x, z)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(mine(x, z), expected)
        loss = losses.Reconstruction(models.build("convolutional", (1, 4, 4), widths=(6, 4)).eval())
        result = uae.MinMaxAttack(steps=2, mi=mine)(loss, torch.rand(2, 1, 4, 4))
    assert result.adv.isfinite().all()


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
