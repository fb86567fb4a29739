"""Reconstruction errors and attack success rates (Tables 4 and 8)."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from uae.losses import Reconstruction

BATCH = 1000


def _batches(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    return zip(*(t.split(BATCH) for t in tensors), strict=True)


@torch.no_grad()
def error(model: nn.Module, x: Tensor) -> float:
    """Mean squared reconstruction error per feature over x (N, *shape)."""
    return sum(((model(b) - b).double() ** 2).sum().item() for (b,) in _batches(x)) / x.numel()


@torch.no_grad()
def success_rate(model: nn.Module, x: Tensor, x_adv: Tensor) -> float:
    """The share of samples, in [0, 1], with ||x - model(x_adv)|| <= ||x - model(x)||."""
    loss = Reconstruction(model)
    hits = sum((loss(a, b) <= loss(b, b)).sum().item() for a, b in _batches(x_adv, x))
    return hits / len(x)


@torch.no_grad()
def reconstruct(model: nn.Module, x: Tensor) -> Tensor:
    return torch.cat([model(b) for (b,) in _batches(x)])
