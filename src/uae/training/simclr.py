"""Pre-train SimCLR (section 5.6). The data stay on the device, and an epoch does not synchronise with it."""

from __future__ import annotations

from typing import Unpack

import torch
from torch import Tensor

from uae.contrastive import autocast, nt_xent
from uae.errors import Diverged
from uae.models.simclr import SimCLR
from uae.training import loop
from uae.training.lars import LARS, groups, warmup_cosine
from uae.views import Augmentation

VIEWS = 2


def fit(
    model: SimCLR,
    x: Tensor,
    *,
    target: None = None,
    lr: float,
    warmup: int,
    momentum: float = 0.9,
    weight_decay: float = 1e-4,
    temperature: float = 0.5,
    augmentation: Augmentation | None = None,
    amp: bool = True,
    compile: bool = False,
    **options: Unpack[loop.Options],
) -> list[float]:
    """Train `model` in place on images x (N, 3, H, W) in [0, 1]. Returns the mean loss of each epoch.

    lr: LARS's rate for 256 images per batch; it grows with the batch.  warmup: epochs of rising rate, before
        a cosine to 0.  amp: use bfloat16 on GPUs that have it.  compile: use torch.compile on a GPU; it
        takes a minute and pays off in long trainings.  drop_last: true by default, because NT-Xent depends on
        the number of negatives.
    Raises ValueError for a target (views are compared with one another), fewer images than a batch, or a
    warm-up longer than the training, and Diverged if the loss is not finite.
    """
    size, epochs, seed = options["batch_size"], options["epochs"], options["seed"]
    drop_last = options.setdefault("drop_last", True)
    if target is not None:
        raise ValueError("SimCLR has no target: views are compared with one another")
    if size is None or size < 2:
        raise ValueError(f"batch_size {size}: NT-Xent needs at least 2 images, the others are the negatives")
    if len(x) < size:
        raise ValueError(f"{len(x)} images are fewer than a batch of {size}: reduce batch_size")
    if not 0 <= warmup < epochs:
        raise ValueError(
            f"warmup of {warmup} epochs must be at least 0 and shorter than the {epochs} trained"
        )
    augmentation = augmentation or Augmentation()
    per_epoch = loop.steps_per_epoch(len(x), size, drop_last)
    rate = lr * size / 256
    stepper = LARS(groups(model), rate, momentum, weight_decay)
    forward = torch.compile(model) if compile and x.device.type == "cuda" else model

    def step(rows: Tensor, _: Tensor, number: int) -> Tensor:
        for group in stepper.param_groups:
            group["lr"] = rate * warmup_cosine(number, epochs * per_epoch, warmup * per_epoch)
        views = augmentation.draw(seed, rows, f"view/{number // per_epoch}", x.shape[2:], VIEWS)
        images = augmentation(x[rows].repeat_interleave(VIEWS, dim=0), views)
        with autocast(x.device, amp):
            z = forward(images)
        value = nt_xent(z.float().unflatten(0, (len(rows), VIEWS)).transpose(0, 1), temperature)
        stepper.zero_grad(set_to_none=True)
        value.backward()
        stepper.step()
        return value.detach()

    # The loop shuffles and splits sample indices, because a view's random numbers depend on them.
    index = torch.arange(len(x), device=x.device)
    try:
        return loop.run(model, [stepper], step, index, **options)
    except Diverged as error:
        raise Diverged(
            f"{error}; NT-Xent is NaN if an embedding has length 0, as for a constant view"
        ) from None
