"""LARS: momentum SGD with a step size per layer (You et al. 2017, equation 6), and its schedule."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.optimizer import ParamsT

from uae.training.optimizers import eager

TRUST = 0.001


@eager
class LARS(torch.optim.Optimizer):
    """v <- momentum v + trust (g + weight_decay p), p <- p - lr v.

    trust = 0.001 ||p|| / (||g|| + weight_decay ||p||), for each parameter. A group with `adapt` False
    takes plain momentum steps on g. SimCLR uses it for biases and batch normalisation; see `groups`.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        adapt: bool = True,
    ):
        super().__init__(
            params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "adapt": adapt}
        )

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # a closure is not taken
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            if not params:
                continue
            steps = [p.grad for p in params]
            if group["adapt"]:
                steps = _adapted(params, steps, group["weight_decay"])
            for p in params:
                if "momentum_buffer" not in self.state[p]:
                    self.state[p]["momentum_buffer"] = torch.zeros_like(p)
            buffers = [self.state[p]["momentum_buffer"] for p in params]
            torch._foreach_mul_(buffers, group["momentum"])
            torch._foreach_add_(buffers, steps)
            torch._foreach_add_(params, buffers, alpha=-group["lr"])


def _adapted(params: list[Tensor], grads: list[Tensor], decay: float) -> list[Tensor]:
    """trust (g + decay p). If ||p|| or ||g|| is 0, trust is undefined and the step is g."""
    size, slope = (torch.stack(torch._foreach_norm(tensors)) for tensors in (params, grads))
    fits = (size > 0) & (slope > 0)
    trust = torch.where(fits, TRUST * size / (slope + decay * size), 1)
    decay_of = torch.where(fits, decay * trust, 0)
    steps = torch._foreach_mul(grads, list(trust.unbind()))
    return list(torch._foreach_add(steps, torch._foreach_mul(params, list(decay_of.unbind()))))


def groups(model: nn.Module) -> list[dict[str, Any]]:
    """Two groups: the weights, and the biases and batch-norm parameters (one dimension), not adapted."""
    params = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in params if p.ndim > 1]},
        {"params": [p for p in params if p.ndim <= 1], "adapt": False, "weight_decay": 0.0},
    ]


def warmup_cosine(step: int, steps: int, warmup: int) -> float:
    """The share of the full rate at `step` of `steps`: a linear rise over `warmup` steps, then a cosine.

    >>> [round(warmup_cosine(t, 8, 4), 2) for t in range(8)]
    [0.0, 0.25, 0.5, 0.75, 1.0, 0.85, 0.5, 0.15]
    """
    if step < warmup:
        return step / warmup
    return (1 + math.cos(math.pi * (step - warmup) / (steps - warmup))) / 2
