"""Optimisers with the defaults of Keras at the time of the paper. PyTorch's rho and epsilon (1e-7) differ."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.optim import Adadelta, Adam, RMSprop


def _on_gpu(parameters: list[torch.nn.Parameter]) -> bool:
    """A graph captures a GPU's updates (`graphs.Graphed`), so the number of steps must be on the GPU, too."""
    return parameters[0].is_cuda


OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    # One kernel for all weights; otherwise the updates of an MLP cost as much as its products.
    "adam": lambda p, lr: Adam(p := list(p), lr=lr, eps=1e-7, fused=True, capturable=_on_gpu(p)),
    "rmsprop": lambda p, lr: RMSprop(p := list(p), lr=lr, alpha=0.9, eps=1e-7, capturable=_on_gpu(p)),
    "adadelta": lambda p, lr: Adadelta(p := list(p), lr=lr, rho=0.95, eps=1e-7, capturable=_on_gpu(p)),
}
