"""Networks of one's own are attacked channels last where they bear it, and are left as they are."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

import uae
from uae import losses
from uae.attacks.layout import channels_last

COUNT = 20


class Classifier(nn.Module):
    """Built without a thought of layouts; notes the ones that its convolution's output has."""

    def __init__(self, flatten):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 6, 3, bias=False)
        self.last, self.flatten = nn.Linear(96, 5), flatten
        self.seen = set()

    def forward(self, x):
        hidden = self.second(self.first(x).relu())
        self.seen.add(hidden.is_contiguous(memory_format=torch.channels_last))
        return self.last(self.flatten(hidden))


def viewed(hidden):
    return hidden.view(len(hidden), -1)


@pytest.fixture
def x():
    return torch.rand(COUNT, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def loss_of(flatten, x, kind=losses.Margin):
    torch.manual_seed(4)
    model = Classifier(flatten).eval()
    with torch.no_grad():
        model.last.bias -= model(x).mean(0)  # or it would see one class in all
        labels = model(x).argmax(1)
    model.seen.clear()
    return kind(model, labels)


def plainly(loss):
    """The same loss, to be called as it is."""
    loss = copy.copy(loss)
    loss.threaded = False
    return loss


ATTACKS = {
    "minmax": (
        uae.MinMaxAttack(steps=8, alpha=0.2, mi=uae.MINE(inner_steps=2, lr=2e-3), maximize_mi=True),
        losses.Margin,
    ),
    "pgd": (uae.PGD(eps=0.05, steps=8), losses.CrossEntropy),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_the_same_examples_in_either_layout(name, x):
    attack, kind = ATTACKS[name]
    loss = loss_of(lambda h: h.flatten(1), x, kind)
    ours = attack(loss, x, seed=2)
    theirs = attack(plainly(loss), x, seed=2)
    torch.testing.assert_close(ours.adv, theirs.adv, atol=1e-5, rtol=0)
    torch.testing.assert_close(ours.mi, theirs.mi, atol=1e-5, rtol=0, equal_nan=True)
    assert torch.equal(ours.success, theirs.success)
    assert theirs.success.any()


def test_only_the_copy_changes(x):
    loss = loss_of(lambda h: h.flatten(1), x)
    own = channels_last(loss, x)
    own(x, x)
    assert own.model.seen == {True}
    assert own.model.second.weight.is_contiguous(memory_format=torch.channels_last)
    assert not loss.model.seen
    assert loss.model.second.weight.is_contiguous()
    assert not loss.model.second.weight.is_contiguous(memory_format=torch.channels_last)
    assert all(weight.grad is None for weight in loss.model.parameters())
    # What has no layout is not held twice.
    assert own.model.last.weight is loss.model.last.weight
    torch.testing.assert_close(own(x, x), loss(x, x))


def test_a_network_that_does_not_bear_it_is_attacked_as_it_is(x):
    loss = loss_of(viewed, x)
    assert channels_last(loss, x) is loss
    attack, _ = ATTACKS["minmax"]
    assert len(attack(loss, x, seed=2)) == COUNT
    assert loss.model.seen == {False}


@pytest.mark.parametrize("why", ["already", "not threaded", "float64", "hooks", "no images"])
def test_or_that_needs_no_copy(why, x):
    loss = loss_of(lambda h: h.flatten(1), x)
    if why == "already":
        loss.model.to(memory_format=torch.channels_last)
    elif why == "not threaded":
        loss = plainly(loss)
    elif why == "float64":
        loss.model.double()
        x = x.double()
    elif why == "hooks":
        loss.model.first.register_forward_hook(lambda *_: None)
    else:
        x = x.flatten(1)
    assert channels_last(loss, x) is loss
