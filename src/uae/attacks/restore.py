"""Restore the attacked model after the attack."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterator

import torch
from torch import nn
from torch.nn.parameter import is_lazy


@contextlib.contextmanager
def left_as_found(loss: Callable[..., object]) -> Iterator[None]:
    """Restore the modes, buffers, `requires_grad` and `grad` of a loss's networks, also after an error."""
    modules = list(dict.fromkeys(module for network in networks(loss) for module in network.modules()))
    # Modules from torch.export or torch.jit.freeze have a fixed mode, or none.
    modes = [(module, module.training) for module in modules if hasattr(module, "training")]
    found = dict.fromkeys(weight for module in modules for weight in module.parameters(recurse=False))
    weights = [(weight, weight.requires_grad, None if is_lazy(weight) else weight.grad) for weight in found]
    buffers = [
        (module, name, buffer, buffer.detach().clone())
        for module in modules
        for name, buffer in module.named_buffers(recurse=False)
        if not is_lazy(buffer)
    ]
    try:
        yield
    finally:
        for module, mode in modes:
            if module.training != mode:
                module.training = mode
        for weight, wanted, grad in weights:
            if weight.requires_grad != wanted:
                weight.requires_grad_(wanted)
            if weight.grad is not grad:
                weight.grad = grad
        for module, name, buffer, value in buffers:
            if not torch.equal(buffer, value):
                with torch.no_grad():
                    buffer.copy_(value)
            if not isinstance(module, torch.jit.ScriptModule) and getattr(module, name, None) is not buffer:
                setattr(module, name, buffer)


def networks(loss: Callable[..., object]) -> list[nn.Module]:
    """The networks that a loss holds: itself, its attributes, and the variables that a function names."""
    held = [loss, *getattr(loss, "__dict__", {}).values()]
    owner = getattr(loss, "__self__", None)  # the object of a bound method
    held += [owner, *getattr(owner, "__dict__", {}).values()]
    if isinstance(loss, functools.partial):
        held += [*loss.args, *loss.keywords.values()]
        loss = loss.func
    if inspect.isfunction(loss):
        with contextlib.suppress(ValueError):  # a variable without a value yet
            names = inspect.getclosurevars(loss)
            held += [*names.nonlocals.values(), *names.globals.values()]
    return [value for value in held if isinstance(value, nn.Module)]
