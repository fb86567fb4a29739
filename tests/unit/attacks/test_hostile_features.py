"""Layers and functions of strangers that give MINE its samples: refused in words, or right."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import uae
from tests.unit.attacks.test_hostile_models import IN_PLACE, convolutional, images
from uae import losses, sampling


class Splits(nn.Module):
    """Its layer sees the samples in parts."""

    def __init__(self, parts):
        super().__init__()
        self.parts, self.net = parts, convolutional()

    def forward(self, x):
        return torch.cat([self.net(part) for part in x.split(self.parts)])


class Folds(nn.Module):
    """Its layer sees patches in place of samples."""

    def __init__(self):
        super().__init__()
        self.net = convolutional()

    def forward(self, x):
        patches = x.unfold(2, 4, 4).flatten(0, 0)  # (N, 1, 2, 8, 4)
        rows = patches.permute(0, 2, 1, 4, 3).flatten(0, 1)
        return self.net(rows).unflatten(0, (len(x), 2)).permute(0, 2, 1, 3, 4).reshape(x.shape)


class Repeats(Folds):
    def forward(self, x):
        return self.net(torch.cat([x, x.flip(3)])).unflatten(0, (2, -1)).mean(0)


class Detaches(Folds):
    def forward(self, x):
        with torch.no_grad():
            hidden = self.net[0](x)
        return torch.sigmoid(hidden.mean(1, keepdim=True)) * x


class Binarises(Folds):
    def forward(self, x):
        return self.net((x > 0.5).float()) * x


class Overflows(Folds):
    def forward(self, x):
        return torch.nan_to_num(self.net[0](x / (x - x))).mean(1, keepdim=True) * 0 + x / 2


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Folds(), r"layer 'net.0': shape \(2, 4, 32\).* for 1 samples: need floats \(N, K, D\)"),
        (Repeats(), r"layer 'net.0': shape \(2, 4, 64\).* for 1 samples"),
        (Splits(2), r"layer 'net.0': shape \(2, 4, 64\).* for 4 samples"),
        (Splits(5), r"layer 'net.0': shape \(5, 4, 64\).* for 6 samples"),
        (Detaches(), "layer 'net.0': it has no gradient.*use RandomSampling"),
        (Binarises(), "layer 'net.0': it has no gradient.*use RandomSampling"),
        (Overflows(), "sample 0: the output of layer 'net.0' is nan"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_layer_that_mine_cannot_see_is_named(model, message):
    with pytest.raises(ValueError, match=message):
        uae.MinMaxAttack(steps=2, mi=uae.MINE(inner_steps=1))(losses.Reconstruction(model.eval()), images())


def halves(x):
    return x.flatten(2)[:, :, :60].reshape(len(x), 4, 15)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (lambda x: x.flatten(1), r"the features: shape \(1, 64\)"),
        (
            lambda x: x.flatten(0).view(1, 4, -1).repeat(len(x) + 1, 1, 1),
            r"shape \(2, 4, 16\).* for 1 samples",
        ),
        (lambda x: halves(x).detach(), "the features: it has no gradient"),
        (lambda x: halves(x).round().detach() + 0 * x.sum().detach(), "no gradient"),
        (lambda x: halves(x) / 0, "sample 0: the features is (nan|inf)"),
        (lambda x: halves(x).long(), "torch.int64 for 1 samples"),
        (lambda x: halves(x).tolist(), "it is a list: need one tensor"),
        (lambda x: halves(x) + torch.randn(()), "the features differs between two calls"),
        (lambda x: halves(x) - x.mean(), "the features depends on the other samples of its batch"),
        (lambda x: halves(x.mul_(0.5)), IN_PLACE),
    ],
)
def test_features_of_one_s_own_are_looked_at_as_losses_are(samples, message):
    x = images()
    given, mine = x.clone(), uae.MINE(inner_steps=1, samples=samples)
    with pytest.raises(ValueError, match=message):
        uae.MinMaxAttack(steps=2, mi=mine)(losses.Reconstruction(convolutional()), x)
    assert torch.equal(x, given)


def test_features_of_one_s_own_work_and_are_saved_by_name(tmp_path):
    mine = uae.MINE(inner_steps=1, samples=halves)
    result = uae.MinMaxAttack(steps=2, mi=mine)(losses.Reconstruction(convolutional()), images())
    result.save(tmp_path / "x.safetensors")
    assert uae.AttackResult.load(tmp_path / "x.safetensors").metadata["attack"]["mi"]["samples"] == "halves"
    with pytest.raises(ValueError, match=r"samples: 'net.0' is not one of ConvolutionOutput\('layer'\)"):
        uae.MINE(samples="net.0")


def test_of_a_layer_that_runs_twice_the_first_output_is_seen():
    class Twice(Folds):
        def forward(self, x):
            return self.net(self.net(x))

    torch.manual_seed(0)
    model, mine = Twice().eval(), uae.MINE(inner_steps=1)
    attack = uae.MinMaxAttack(steps=2, mi=mine)
    result = attack(losses.Reconstruction(model), images())
    assert result.mi[result.success].isfinite().all()
    first = sampling.ConvolutionOutput().bind(model, images(), 0).compute(images(), 0)
    assert torch.equal(first, model.net[0](images()).flatten(2))
