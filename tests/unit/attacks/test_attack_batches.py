"""The sizes of batches where a GPU's memory decides, on the CPU."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

import uae
from uae import losses, models
from uae.attacks import batches

GIB = 2**30


@pytest.mark.parametrize(
    ("sample", "memory", "expected"),
    [
        (4_700_160, 141 * GIB, 1827),  # ResNet-18 on 3x32x32, on a large GPU: 8 GiB
        (23_000_000, 141 * GIB, 373),  # WRN-34-10
        (23_000_000, 6 * GIB, 93),  # a third of what is free
        (GIB, 2 * GIB, 1),  # one sample at least
        (GIB, 0, 1),
    ],
)
def test_a_batch_fits_a_third_of_the_free_memory(sample, memory, expected):
    assert batches.fitting(sample, memory) == expected
    assert expected == 1 or expected * sample <= min(memory / 3, 8 * GIB) < (expected + 1) * sample


def images(count=6, size=2):
    return torch.rand(count, size, generator=torch.Generator().manual_seed(0))


class Wide(nn.Module):
    """A linear layer saves its input, the exponential its output; the weights are the same for any batch."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Linear(2, 1000), nn.Linear(1000, 2)

    def forward(self, x):
        return self.second(self.first(x).exp())


def test_a_sample_takes_what_its_loss_saves():
    net = Wide().eval()
    assert batches.of_sample(lambda a, x: net(a).sum(1), images()) == 4 * (2 + 1000)


def test_a_residual_network_takes_more_than_a_small_model():
    x = torch.rand(2, 3, 32, 32)
    model = models.build("resnet18", (3, 32, 32), classes=10).eval()
    assert batches.of_sample(losses.CrossEntropy(model, torch.zeros(2).long()), x) == pytest.approx(
        4.7e6, rel=0.01
    )


def test_what_a_loss_frees_itself_takes_nothing():
    """The contrastive loss takes its gradient on the way, and keeps no activation."""
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(192, 5000), nn.Tanh(), nn.Linear(5000, 4)).eval()
    x = torch.rand(2, 3, 8, 8)
    assert batches.of_sample(losses.Contrastive(encoder, copies=3), x) == batches.small(x)


def norms(a):
    return torch.func.vmap(torch.func.grad(lambda v: (v**2).sum()))(a).norm(dim=1)


@pytest.mark.parametrize(
    "loss",
    [
        lambda a, x: norms(a),  # PyTorch refuses hooks on saved tensors within torch.func
        lambda a, x: torch.rand(6) * a.norm(dim=1),  # a value for each sample: no part of the batch
    ],
    ids=["torch.func", "values"],
)
def test_where_pytorch_cannot_say_a_small_model_is_assumed(loss):
    assert batches.of_sample(loss, images()) == batches.small(images()) == 64 * 2 * 4
    assert batches.of_sample(loss, images(1)) == 64 * 2 * 4


SAMPLED = uae.MINE(inner_steps=1, samples=uae.RandomSampling(count=4, dim=3))
ATTACKS = {
    "L2-UAE": uae.MinMaxAttack(steps=2, mi=None),
    "MINE-UAE": uae.MinMaxAttack(steps=2, mi=SAMPLED),
    "PGD": uae.PGD(0.1, steps=2),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_batches_on_a_gpu_fit_its_memory_and_on_a_cpu_they_stay(name, monkeypatch):
    attack, model, x, sizes = ATTACKS[name], Wide().eval(), images(40), []
    labels = model(x).argmax(1)
    loss = losses.Margin(model, labels) if name == "PGD" else losses.Reconstruction(model)
    model.register_forward_hook(lambda module, inputs, output: sizes.append(len(inputs[0])))
    with monkeypatch.context() as on_cpu:
        on_cpu.setattr(batches, "of_sample", pytest.fail)
        expected = attack(loss, x, seed=0)
    assert max(sizes) == 40
    sizes.clear()
    monkeypatch.setattr(
        batches, "free", lambda device: 3 * 7 * 4400
    )  # a sample takes 4,008 bytes and few more
    found = attack(loss, x, seed=0)
    assert 2 < max(sizes) < 7 if name == "MINE-UAE" else max(sizes) == 7  # critics take their share
    torch.testing.assert_close(found.adv, expected.adv)
    sizes.clear()
    monkeypatch.setattr(batches, "of_sample", pytest.fail)
    dataclasses.replace(attack, batch_size=11)(loss, x, seed=0)
    assert max(sizes) == 11
