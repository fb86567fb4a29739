"""Restore the attacked model after the attack."""

from __future__ import annotations

import contextlib
import functools
import inspect
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from uae.sampling import fixed

# Their objects, such as loggers and tensors, hold no network of a loss, but lead to much else.
LIBRARIES = sys.stdlib_module_names | {"torch"}


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


def networks(loss: object) -> list[nn.Module]:
    """The networks that a loss holds, however deep: itself, and those in attributes, containers and arguments
    and in the variables that a function names. Parts of a network are not named again.
    """
    found: list[nn.Module] = []
    seen: dict[int, object] = {}  # it keeps the objects, so that no other has the id of one
    held: list[Any] = [loss]
    for value in held:  # the list grows
        if id(value) in seen:
            continue
        seen[id(value)] = value
        if isinstance(value, nn.Module):
            found.append(value)
            parts = list(value.modules())
            seen |= {id(part): part for part in parts}
            # What PyTorch made from a network leads back to it.
            held += [entry for part in parts if not fixed(part) for entry in vars(part).values()]
        elif isinstance(value, dict):
            held += value.values()
        elif isinstance(value, list | tuple | set | frozenset):
            held += value
        elif isinstance(value, functools.partial):
            held += [value.func, value.args, value.keywords]
        elif inspect.ismethod(value):
            held += [value.__self__, value.__func__]
        elif not isinstance(value, type | ModuleType) and _home(value) not in LIBRARIES:
            held += getattr(value, "__dict__", {}).values()
            if inspect.isfunction(value):
                held += [value.__defaults__, value.__kwdefaults__]
                with contextlib.suppress(ValueError):  # a variable without a value yet
                    names = inspect.getclosurevars(value)
                    held += [*names.nonlocals.values(), *names.globals.values()]
    return found


def _home(value: object) -> str:
    """The package of a function or of an object's class; "None" where none is named."""
    return str(getattr(value, "__module__", None)).partition(".")[0]
