"""Fit a classifier as Carlini and Wagner's released code does: SGD with Nesterov momentum."""

from __future__ import annotations

from typing import Unpack

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from uae.training import loop
from uae.training.graphs import Graphed, rate, set_rate
from uae.training.optimizers import SGD


def fit(
    model: nn.Module,
    x: Tensor,
    target: Tensor,
    *,
    lr: float = 0.01,
    momentum: float = 0.9,
    decay: float = 1e-6,
    **options: Unpack[loop.Options],
) -> list[float]:
    """Train `model` in place on images x (N, *shape) and their labels (N,), `target`.

    Returns the mean cross-entropy of each epoch.

    decay: as in Keras, the learning rate of step t, from 0, is lr / (1 + decay * t).
    Raises ValueError naming a sample whose label has no logit, and Diverged if the loss is not finite.
    """
    y = target
    if x.dim() == 4:
        x = x.contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        model.eval()
        classes = model(x[:1]).shape[1]
    loop.check_labels(y, classes)
    on_gpu = x.device.type == "cuda"
    stepper = SGD(model.parameters(), rate(lr, x.device), momentum, nesterov=True, fused=on_gpu or None)

    @Graphed
    def update(batch: Tensor, labels: Tensor, current: float | Tensor) -> Tensor:
        set_rate(stepper, current)
        value = F.cross_entropy(model(batch), labels)
        stepper.zero_grad(set_to_none=True)
        value.backward()
        stepper.step()
        return value.detach()

    def step(rows: Tensor, _: Tensor, number: int) -> Tensor:
        return update(x[rows], y[rows], lr / (1 + decay * number))

    # The loop shuffles sample numbers, so that inputs and labels stay together.
    return loop.run(model, [stepper], step, torch.arange(len(x), device=x.device), **options)
