"""Linear evaluation: a linear classifier on the features of a frozen encoder."""

from __future__ import annotations

from typing import Unpack

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from uae.training import loop
from uae.training.lars import warmup_cosine
from uae.training.optimizers import SGD

BATCH = 1000


@torch.no_grad()
def features(encoder: nn.Module, x: Tensor) -> Tensor:
    """The encoder's features of x (N, C, H, W), (N, d), computed in eval mode."""
    mode = encoder.training
    encoder.eval()
    try:
        return torch.cat(
            [encoder(part.contiguous(memory_format=torch.channels_last)) for part in x.split(BATCH)]
        )
    finally:
        encoder.train(mode)


def fit(
    head: nn.Linear,
    x: Tensor,
    y: Tensor,
    *,
    lr: float = 0.1,
    momentum: float = 0.9,
    **options: Unpack[loop.Options],
) -> list[float]:
    """Train `head` in place on features x (N, d) and labels y (N,). Returns each epoch's mean cross-entropy.

    Momentum SGD, a cosine from `lr` to 0, no weight decay (SimCLR, appendix B.9). The features are computed
    once, from images without augmentation.
    Raises ValueError naming the sample whose label has no output.
    """
    loop.check_labels(y, head.out_features)
    per_epoch = loop.steps_per_epoch(len(x), options["batch_size"], options.get("drop_last", False))
    steps = options["epochs"] * per_epoch
    stepper = SGD(head.parameters(), lr, momentum)

    def step(rows: Tensor, _: Tensor, number: int) -> Tensor:
        for group in stepper.param_groups:
            group["lr"] = lr * warmup_cosine(number, steps, 0)
        value = F.cross_entropy(head(x[rows]), y[rows])
        stepper.zero_grad(set_to_none=True)
        value.backward()
        stepper.step()
        return value.detach()

    return loop.run(head, [stepper], step, torch.arange(len(x), device=x.device), **options)
