"""Training sets augmented before any attack: flips, rotation and noise (Table 5, appendix F)."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from uae import seeding
from uae.data.catalogue import DataName
from uae.errors import DataError

SEED = 0
DEGREES = 10.0
BLOCK = 1024  # samples at a time, to bound the memory; the random numbers don't depend on it


def augmented(x: np.ndarray, y: np.ndarray, index: np.ndarray, name: DataName) -> dict[str, np.ndarray]:
    """The training set of a data name: the n originals, then one copy of each.

    x: images uint8 (n, C, H, W) or a table float32 (n, d); y: labels (n,); index: the samples' rows in
    the whole training set. The random numbers of a sample depend on this index alone. According to the
    name, a copy is flipped left to right and upside down (with probability 1/2 each), rotated and noised.
    Returns x_train and y_train: uint8 without noise; with it float32 in [0, 1]. Noise is clipped to this
    range, because attacks need inputs within their bounds. Originals have no noise.
    """
    if x.ndim != 4 and (name.flip or name.rotation):
        raise DataError(f"{name.entry}: flips and rotations are for images, not for tables")
    noisy = name.sigma > 0
    out = np.empty((2 * len(x), *x.shape[1:]), np.float32 if noisy else x.dtype)
    out[: len(x)] = _unit(x).numpy() if noisy else x
    for start in range(0, len(x), BLOCK):
        block = slice(start, start + BLOCK)
        copies = _copies(_unit(x[block]), torch.from_numpy(index[block]), name)
        where = slice(len(x) + start, len(x) + start + len(copies))
        out[where] = (copies if noisy else (copies * 255).round().to(torch.uint8)).numpy()
    return {"x_train": out, "y_train": np.concatenate([y, y])}


def _unit(x: np.ndarray) -> Tensor:
    tensor = torch.from_numpy(np.ascontiguousarray(x))
    return tensor.float() / 255 if tensor.dtype == torch.uint8 else tensor


def _copies(x: Tensor, index: Tensor, name: DataName) -> Tensor:
    if name.flip:
        for axis in (-1, -2):
            coin = seeding.bits(SEED, index, f"flip/{axis}", (1, 1, 1)) & 1
            x = torch.where(coin.bool(), x.flip(axis), x)
    if name.rotation:
        x = rotated(x, seeding.uniform(SEED, index, "rotation", (), DEGREES))
    if name.sigma:
        noise = seeding.normal(SEED, index, "noise", tuple(x.shape[1:]))
        x = (x + name.sigma * noise).clamp(0, 1)
    return x


def rotated(x: Tensor, degrees: Tensor) -> Tensor:
    """Each image rotated counter-clockwise about its centre: x (N, C, H, W), degrees (N,).

    The interpolation is bilinear. A point outside the image takes the nearest pixel's value.
    """
    height, width = x.shape[-2:]
    angle = torch.deg2rad(degrees)
    cos, sin, zero = torch.cos(angle), torch.sin(angle), torch.zeros_like(angle)
    # affine_grid's coordinates run from -1 to 1 along both axes, so the matrix needs the ratio of the sides.
    matrix = torch.stack([cos, -sin * height / width, zero, sin * width / height, cos, zero], dim=-1)
    grid = F.affine_grid(matrix.view(-1, 2, 3), list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, padding_mode="border", align_corners=False)
