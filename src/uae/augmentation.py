"""Augmented training sets: the n originals, and n more in each round."""

from __future__ import annotations

import torch
from torch import Tensor

from uae import seeding


def gaussian(x: Tensor, sigma: float, seed: int, draw: int = 0) -> Tensor:
    """x (N, *shape) plus zero-mean Gaussian noise of standard deviation sigma (GA, section 5.4).

    The noise is not clipped to the data's range: clipping would give it a mean. A draw is one
    independent noise sample.
    """
    index = torch.arange(len(x), device=x.device)
    return x + sigma * seeding.normal(seed, index, f"gaussian/{draw}", tuple(x.shape[1:]), x.dtype)


def augmented(x: Tensor, *extras: Tensor) -> Tensor:
    """The originals and as many extra samples a round, ((1 + rounds) * N, *shape).

    With the originals as extra samples this is the compute-matched control: as many gradient steps as
    on any other augmented set, and nothing new to see.
    """
    for extra in extras:
        if extra.shape != x.shape:
            raise ValueError(f"augmentation has shape {tuple(extra.shape)}, the originals {tuple(x.shape)}")
    return torch.cat([x, *(extra.to(x) for extra in extras)])
