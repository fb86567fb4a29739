"""Augmented training sets: the n originals, and n more."""

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


def augmented(x: Tensor, extra: Tensor) -> Tensor:
    """The originals and the extra samples, (2N, *shape).

    With `extra = x` this is the compute-matched control: as many gradient steps as on any other
    augmented set, and nothing new to see.
    """
    if extra.shape != x.shape:
        raise ValueError(f"augmentation has shape {tuple(extra.shape)}, the originals {tuple(x.shape)}")
    return torch.cat([x, extra.to(x)])
