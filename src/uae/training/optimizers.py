"""Keras' optimisers at the time of the paper, where PyTorch has other defaults: rho, epsilon 1e-7."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.optim import Adadelta, Adam, RMSprop


def _on_gpu(parameters: list[torch.nn.Parameter]) -> bool:
    """A GPU's updates are captured in a graph (`graphs.Graphed`): the number of steps must be there, too."""
    return parameters[0].is_cuda


OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    # One kernel for all weights: the updates of an MLP cost as much as its products otherwise.
    "adam": lambda p, lr: Adam(p := list(p), lr=lr, eps=1e-7, fused=True, capturable=_on_gpu(p)),
    "rmsprop": lambda p, lr: RMSprop(p := list(p), lr=lr, alpha=0.9, eps=1e-7, capturable=_on_gpu(p)),
    "adadelta": lambda p, lr: Adadelta(p := list(p), lr=lr, rho=0.95, eps=1e-7, capturable=_on_gpu(p)),
}
