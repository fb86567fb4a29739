"""Whole attacks on a GPU end where they end on a CPU. On a GPU alone."""

from __future__ import annotations

import copy

import pytest
import torch

import uae
from uae import losses, models

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")

DEVICE = "cuda"
SAMPLED = uae.RandomSampling(count=6, dim=5)
REDRAWN = uae.RandomSampling(count=6, dim=5, power=0.5, standardize=True, redraw=True)


def mine(critic="vanilla", samples=None):
    return uae.MINE(critic, inner_steps=3, lr=1e-3, samples=samples)


ATTACKS = {
    "random sampling": ("convolutional", uae.MinMaxAttack(steps=6, alpha=0.1, mi=mine(samples=SAMPLED))),
    "redrawn": ("convolutional", uae.MinMaxAttack.released(steps=6, alpha=0.1, mi=mine(samples=REDRAWN))),
    "released critic": ("convolutional", uae.MinMaxAttack(steps=6, alpha=0.1, mi=mine("released"))),
    "L2": ("convolutional", uae.MinMaxAttack(steps=12, alpha=0.05, beta=30.0, init="noise", mi=None)),
    "penalty": ("carlini-wagner", uae.PenaltyAttack(steps=5, searches=2, c0=10.0, alpha=0.5, mi=mine())),
    "PGD": ("carlini-wagner", uae.PGD(eps=0.3, steps=5)),
    "contrastive": ("simclr", uae.MinMaxAttack(steps=4, alpha=0.1, mi=mine())),
}


def attacked(name, device, dtype):
    network, attack = ATTACKS[name]
    torch.manual_seed(0)
    shape = (3, 16, 16) if network == "simclr" else (1, 16, 16)
    small = {"convolutional": {"widths": (6, 4)}, "simclr": {"width": 8, "dim": 16}}
    small["carlini-wagner"] = {"widths": [2, 3, 8], "dropout": 0.0}
    images = torch.rand(5, *shape, dtype=torch.float64).to(device, dtype)
    model = models.build(network, shape, **small[network]).double().eval()
    labels = model(images.cpu().double()).argmax(1) if network == "carlini-wagner" else None
    model = copy.deepcopy(model).to(device, dtype)
    if labels is not None:
        loss = losses.Margin(model, labels.to(device))
    else:
        loss = {"simclr": lambda m: losses.Contrastive(m, copies=3)}.get(network, losses.Reconstruction)(
            model
        )
    return attack(loss, images, seed=1)


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_ends_as_on_a_cpu(name, monkeypatch):
    """In float64 number by number; in float32, with the compiled kernels, as far as rounding lets it."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    for dtype, near in ((torch.float64, 1e-6), (torch.float32, 1e-3)):
        expected, found = attacked(name, "cpu", dtype), attacked(name, DEVICE, dtype)
        assert torch.equal(found.success.cpu(), expected.success) and expected.success.any()
        assert (found.adv.cpu() - expected.adv).abs().mean() < near
        for ours, theirs in ((found.loss, expected.loss), (found.mi, expected.mi)):
            torch.testing.assert_close(ours.cpu(), theirs, atol=10 * near, rtol=0, equal_nan=True)
