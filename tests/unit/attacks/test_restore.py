"""Networks that a loss holds are found, and given back as they were."""

from __future__ import annotations

import functools
import logging
import types
import weakref

import pytest
import torch
from torch import nn

import uae
from tests.unit.attacks.test_hostile_models import SAMPLING, Counts, convolutional, images
from uae import losses
from uae.attacks.restore import networks

NET = nn.Linear(2, 2)


def with_a_global(a, x):
    return NET(a) - x


def test_the_networks_of_a_loss_are_found_however_it_holds_them():
    net = nn.Linear(2, 2)
    loss = losses.Reconstruction(net)
    loss.args = object()  # no arguments of a functools.partial
    held = {
        "attribute": loss,
        "method": loss.__call__,
        "closure": lambda a, x: net(a) - x,
        "partial": functools.partial(lambda model, a, x: model(a), net),
        "itself": net,
    }
    assert all(networks(loss) == [net] for loss in held.values())
    assert networks(with_a_global) == [NET] and networks(torch.sub) == []


class Holds:
    """The error of a network, which the loss has in some object. A weak reference is none."""

    def __init__(self, held, net):
        self.held, self.myself, self.log = [held, 1, None, "x"], self, logging.getLogger()
        self.net = weakref.ref(net)

    def __call__(self, a, x):
        return (self.net()(a) - x).flatten(1).norm(dim=1)


class Unregistered(nn.Module):
    """A network with another in a list, which PyTorch does not see."""

    def __init__(self, net):
        super().__init__()
        self.inner = nn.Sequential(nn.Identity())
        self.inner[0].others = [net]

    def forward(self, x):
        return self.inner[0].others[0](x)


NESTED = {
    "list": lambda net: [net],
    "tuple": lambda net: (net,),
    "dict": lambda net: {"a": net},
    "set": lambda net: {net},
    "object": lambda net: types.SimpleNamespace(model=net),
    "loss": losses.Reconstruction,
    "deeper": lambda net: {"a": [(types.SimpleNamespace(parts=[{"b": net}]),)]},
    "function": lambda net: [lambda x: net(x)],
    "default": lambda net: lambda x, model=net: model(x),
    "keyword": lambda net: lambda x, *, model=net: model(x),
    "method": lambda net: losses.Reconstruction(net).__call__,
    "partial": lambda net: functools.partial(lambda model, x: model(x), model=net),
}


@pytest.mark.parametrize("hold", NESTED.values(), ids=NESTED)
def test_a_network_deep_in_a_loss_is_left_as_it_was_found(hold):
    """A cycle and a logger, which leads to everything, do not lead astray."""
    model = Counts(0.0).eval()
    loss = Holds(hold(model), model)
    assert networks(loss) == [model]
    uae.MinMaxAttack(steps=2, mi=None)(loss, images())
    assert model.calls == 0


def test_a_network_that_another_does_not_register_is_left_as_it_was_found():
    hidden = Counts(0.0).eval()
    loss = losses.Reconstruction(Unregistered(hidden).eval())
    assert networks(loss) == [loss.model, hidden]
    uae.MinMaxAttack(steps=2, mi=None)(loss, images())
    assert hidden.calls == 0


@pytest.mark.filterwarnings("ignore")
def test_the_network_that_a_scripted_one_was_made_from_is_not_the_loss_s():
    """The scripted one keeps a method of it. Its mode is its own."""
    model = convolutional()
    scripted = torch.jit.script(model)
    model.train()
    assert networks(losses.Reconstruction(scripted)) == [scripted]
    assert len(uae.MinMaxAttack(steps=1, mi=None)(losses.Reconstruction(scripted), images())) == 6


@pytest.mark.parametrize("raises", [False, True])
def test_modes_gradients_and_buffers_are_left_as_they_were_found(raises):
    model = nn.Sequential(convolutional(), nn.BatchNorm2d(1)).eval()
    model[0][0].weight.requires_grad_(False)
    before = {name: value.clone() for name, value in model.state_dict().items()}

    class Meddles(losses.Reconstruction):
        threaded = False

        def __call__(self, x_adv, x):
            self.model.requires_grad_(True)
            value = super().__call__(x_adv, x)
            self.model.train()
            self.model[1].running_var = torch.ones(1)  # in place of the buffer that was there
            self.model[1].num_batches_tracked += 1
            self.model.eval() if not raises else None
            if raises:
                raise KeyError("mine")
            return value

    attack = uae.MinMaxAttack(steps=2, mi=SAMPLING)
    if raises:
        with pytest.raises(KeyError, match="mine"):
            attack(Meddles(model), images())
    else:
        attack(Meddles(model), images())
    assert not any(module.training for module in model.modules())
    assert not model[0][0].weight.requires_grad and model[1].weight.requires_grad
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
