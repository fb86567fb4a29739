"""Keras' optimisers at the time of the paper, where PyTorch has other defaults: rho, epsilon 1e-7."""

from __future__ import annotations

from collections.abc import Callable

import torch

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    # One kernel for all weights: the updates of an MLP cost as much as its products otherwise.
    "adam": lambda p, lr: torch.optim.Adam(p, lr=lr, eps=1e-7, fused=True),
    "rmsprop": lambda p, lr: torch.optim.RMSprop(p, lr=lr, alpha=0.9, eps=1e-7),
    "adadelta": lambda p, lr: torch.optim.Adadelta(p, lr=lr, rho=0.95, eps=1e-7),
}
