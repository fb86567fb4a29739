"""The eager optimisers: PyTorch's numbers, and no import of its compiler."""

import subprocess
import sys

import pytest
import torch

from uae.training import optimizers

TRAINING = """
import sys, torch
from uae.attacks.checks import gradient
from uae.training.lars import LARS
from uae.training.optimizers import OPTIMIZERS, SGD
layer = torch.nn.Linear(2, 2)
steppers = [make(layer.parameters(), 0.1) for make in OPTIMIZERS.values()]
for stepper in [*steppers, SGD(layer.parameters(), 0.1), LARS(layer.parameters(), 0.1)]:
    stepper.zero_grad()
    layer(torch.ones(1, 2)).sum().backward()
    stepper.step()
    stepper.load_state_dict(stepper.state_dict())
x = torch.ones(3, 2, requires_grad=True)
gradient(x.square().sum(1), x, torch.ones(3))
print(sorted({"torch._dynamo", "torch.fx.experimental.symbolic_shapes"} & set(sys.modules)))
"""


def test_training_and_attacking_import_no_compiler():
    run = subprocess.run([sys.executable, "-c", TRAINING], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["Adadelta", "Adam", "RMSprop", "SGD"])
def test_the_steps_are_pytorchs(name):
    weights = []
    for source in (torch.optim, optimizers):
        torch.manual_seed(0)
        layer = torch.nn.Linear(5, 3)
        stepper = getattr(source, name)(layer.parameters(), lr=0.1)
        for _ in range(4):
            stepper.zero_grad()
            layer(torch.randn(7, 5)).square().sum().backward()
            stepper.step()
        assert not any(p.grad_fn for p in layer.parameters())
        weights.append(layer.weight.detach())
    assert torch.equal(*weights)
