"""One table of attacks and small models: what holds for every attack on every model that it fits."""

from __future__ import annotations

from functools import partial

import pytest
import torch

import uae
from uae import losses, models

MINE = uae.MINE(inner_steps=2, lr=1e-3)
SAMPLED = uae.MINE(inner_steps=2, lr=1e-3, samples=uae.RandomSampling(count=6, dim=5))
REDRAWN = uae.RandomSampling(count=6, dim=5, power=0.5, standardize=True, redraw=True)
IMAGES, ROWS = (1, 8, 8), (9,)

# Attacks on a model without labels keep its loss down; those on a classifier change its answer.
UNSUPERVISED = {
    "MINE-UAE": uae.MinMaxAttack(eps=0.3, steps=6, alpha=0.05, mi=SAMPLED),
    "MINE-UAE, released": uae.MinMaxAttack.released(
        eps=0.3, steps=6, alpha=0.05, mi=uae.MINE(inner_steps=2, lr=1e-3, samples=REDRAWN)
    ),
    "L2-UAE": uae.MinMaxAttack(eps=0.3, steps=6, alpha=0.05, mi=None),
    "penalty": uae.PenaltyAttack(eps=0.3, steps=3, searches=2, alpha=0.05, mi=SAMPLED),
}
SUPERVISED = {
    "MinMax": uae.MinMaxAttack(eps=0.3, steps=6, alpha=0.1, mi=MINE, maximize_mi=True),
    "MinMax, closest iterate": uae.MinMaxAttack(eps=0.3, steps=6, alpha=0.1, mi=MINE, on_failure="best"),
    "penalty": uae.PenaltyAttack(eps=0.3, steps=3, searches=2, alpha=0.1, mi=MINE, maximize_mi=True),
    "PGD": uae.PGD(eps=0.3, steps=6),
    "PGD, two starts": uae.PGD(eps=0.3, steps=3, restarts=2),
}
AUTOENCODERS = {
    "dense": (IMAGES, {"latent": 4}),
    "convolutional": (IMAGES, {"widths": (4, 3)}),
    "concrete": (ROWS, {"features": 3}),
}
CLASSIFIERS = {
    "carlini-wagner": ((1, 16, 16), {"widths": [2, 3, 8], "dropout": 0.0}),
    "resnet18": (IMAGES, {"classes": 10, "width": 8}),
}


def built(network: str, shape: tuple[int, ...], arguments: dict) -> torch.nn.Module:
    torch.manual_seed(0)
    return models.build(network, shape, **arguments).eval()


def samples(shape: tuple[int, ...]) -> torch.Tensor:
    return torch.rand(5, *shape, generator=torch.Generator().manual_seed(3))


def reconstruction(model: torch.nn.Module, x: torch.Tensor, squared: bool) -> losses.Reconstruction:
    return losses.Reconstruction(model, squared)


def classification(model: torch.nn.Module, x: torch.Tensor, kind: type) -> losses.Classification:
    return kind(model, model(x).argmax(1))


def cases():
    for network, (shape, arguments) in AUTOENCODERS.items():
        for name, attack in UNSUPERVISED.items():
            loss = partial(reconstruction, squared="released" in name)
            yield pytest.param(attack, network, shape, arguments, loss, id=f"{name} on {network}")
    for network, (shape, arguments) in CLASSIFIERS.items():
        for name, attack in SUPERVISED.items():
            kind = losses.CrossEntropy if name.startswith("PGD") else losses.Margin
            loss = partial(classification, kind=kind)
            yield pytest.param(attack, network, shape, arguments, loss, id=f"{name} on {network}")


table = pytest.mark.parametrize(("attack", "network", "shape", "arguments", "loss_of"), list(cases()))


@table
def test_the_examples_are_within_their_bounds_and_succeed_as_told(attack, network, shape, arguments, loss_of):
    """The criterion is computed again from the model: a loss no greater, or another class."""
    model, x = built(network, shape, arguments), samples(shape)
    loss = loss_of(model, x)
    result = attack(loss, x, seed=4)
    assert result.adv.shape == x.shape and result.adv.dtype == x.dtype
    assert (result.adv - x).abs().max() <= attack.eps + 1e-6
    assert result.adv.min() >= 0 and result.adv.max() <= 1
    with torch.no_grad():
        if isinstance(loss, losses.Reconstruction):
            error = [torch.linalg.vector_norm((x - model(z)).flatten(1), dim=1) for z in (x, result.adv)]
            holds = error[1] <= error[0] + 1e-5
        else:
            holds = model(result.adv).argmax(1) != model(x).argmax(1)
    assert holds[result.success].all()
    if getattr(attack, "on_failure", "best") == "original":
        failed = ~result.success
        assert torch.equal(result.adv[failed], x[failed]) and (result.step[failed] == 0).all()
    else:
        assert not isinstance(loss, losses.CrossEntropy) or not holds[~result.success].any()


@table
def test_a_result_is_its_sample_s_and_its_seed_s(attack, network, shape, arguments, loss_of):
    """Not that of the batch, its order or the caller's random state; the model stays as it was."""
    model, x = built(network, shape, arguments), samples(shape)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    whole = attack(loss_of(model, x), x, seed=4)
    torch.manual_seed(99)
    rows = torch.tensor([3, 1])
    part = attack(loss_of(model, x[rows]), x[rows], seed=4, index=rows)
    torch.testing.assert_close(part.adv, whole.adv[rows], rtol=1e-4, atol=1e-5)
    assert torch.equal(part.success, whole.success[rows])
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert not model.training and all(p.grad is None for p in model.parameters())


@table
@pytest.mark.parametrize("threads", [1, 2])
def test_a_caller_without_gradients_gets_the_same_result(
    attack, network, shape, arguments, loss_of, threads, monkeypatch
):
    """Also where the samples are too few for a thread each, or the attack runs on one thread."""
    monkeypatch.setattr("uae.attacks.threads.FEWEST", 2)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        model, x = built(network, shape, arguments), samples(shape)
        expected = attack(loss_of(model, x), x, seed=4)
        with torch.no_grad():
            found = attack(loss_of(model, x), x, seed=4)
    finally:
        torch.set_num_threads(before)
    for name, tensor in expected.tensors().items():
        assert torch.equal(getattr(found, name).nan_to_num(-1), tensor.nan_to_num(-1)), name
