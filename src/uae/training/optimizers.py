"""PyTorch's optimisers, eager, and with the defaults of Keras at the time of the paper.

PyTorch's own rho and epsilon (1e-7 here) differ.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TypeVar

import torch

Class = TypeVar("Class", bound=type[torch.optim.Optimizer])


def eager(base: Class) -> Class:
    """An optimiser's class without its wrappers for torch.compile, which no training here uses.

    The wrappers import PyTorch's compiler in the first step. That import takes nearly as long as PyTorch's.
    """
    names = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")
    methods = {name: inspect.unwrap(getattr(base, name)) for name in names}
    methods["step"] = torch.no_grad()(inspect.unwrap(base.step))
    return type(base.__name__, (base,), methods)  # type: ignore[return-value]


Adadelta = eager(torch.optim.Adadelta)
Adam = eager(torch.optim.Adam)
RMSprop = eager(torch.optim.RMSprop)
SGD = eager(torch.optim.SGD)


def _on_gpu(parameters: list[torch.nn.Parameter]) -> bool:
    """A graph captures a GPU's updates (`graphs.Graphed`), so the number of steps must be on the GPU, too."""
    return parameters[0].is_cuda


OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    # One kernel for all weights; otherwise the updates of an MLP cost as much as its products.
    "adam": lambda p, lr: Adam(p := list(p), lr=lr, eps=1e-7, fused=True, capturable=_on_gpu(p)),
    "rmsprop": lambda p, lr: RMSprop(p := list(p), lr=lr, alpha=0.9, eps=1e-7, capturable=_on_gpu(p)),
    "adadelta": lambda p, lr: Adadelta(p := list(p), lr=lr, rho=0.95, eps=1e-7, capturable=_on_gpu(p)),
}
