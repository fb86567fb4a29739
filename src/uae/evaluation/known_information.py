"""Gaussian pairs of known mutual information, and per-sample MINE's estimates of it.

If each of D coordinates of x is correlated by rho with the same coordinate of z, and with no other, then

    I(x, z) = -D/2 log(1 - rho^2)   nats.

Random sampling makes such pairs of any two samples: over its Gaussian matrices M, the coordinates of M x
and M z are independent of one another and correlated by the cosine of x and z. So the quantity that
per-sample MINE estimates there has a closed form. For the feature maps of a convolution it has none. Gaussian
maps of the same number and size replace them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from uae.mine import MINE, Estimator
from uae.sampling import RandomSampling

STATES = 2**30  # the most bytes of critics at a time


def correlation(nats: Tensor, dim: int) -> Tensor:
    """The correlation, at least 0, at which `dim` coordinates have this mutual information in nats."""
    return (-torch.expm1(-2 * nats / dim)).sqrt()


def vectors(rho: Tensor, size: int, norm: float, seed: int) -> tuple[Tensor, Tensor]:
    """Pairs of vectors x and z, each (N, size), all of one norm, with cosines rho (N,)."""
    generator = torch.Generator().manual_seed(seed)
    x, other = torch.randn(2, len(rho), size, generator=generator, dtype=torch.float64)
    x = x / x.norm(dim=1, keepdim=True)
    other = other - (other * x).sum(1, keepdim=True) * x
    other = other / other.norm(dim=1, keepdim=True)
    rho = rho.double()[:, None]
    return (norm * x).float(), (norm * (rho * x + (1 - rho.square()).sqrt() * other)).float()


def maps(rho: Tensor, count: int, dim: int, std: float, seed: int) -> tuple[Tensor, Tensor]:
    """Pairs of `count` independent Gaussian samples, each (N, count, dim), with correlations rho (N,)."""
    generator = torch.Generator().manual_seed(seed)
    x, other = torch.randn(2, len(rho), count, dim, generator=generator)
    rho = rho.view(-1, 1, 1)
    return std * x, std * (rho * x + (1 - rho.square()).sqrt() * other)


def of_vectors(mine: MINE, sampling: RandomSampling, x: Tensor, z: Tensor, steps: int, seed: int) -> Tensor:
    """The estimates (steps + 1, N) by random sampling in an attack of `steps` steps without a change of z."""
    features = sampling.bind(None, x, seed)
    estimator, values = None, []
    for step in range(steps + 1):
        of_x, of_z = (features.compute(side, step).contiguous() for side in (x, z))
        if estimator is None:
            estimator = Estimator(mine, of_x, None, seed, torch.arange(len(x)), features.standardize)
        values.append(estimator.estimate(of_x, of_z)[0])
    return torch.stack(values)


def of_maps(mine: MINE, shape: tuple[int, int], x: Tensor, z: Tensor, steps: int, seed: int) -> Tensor:
    """The same estimates for compressed samples x and z, (N, K, D): maps of shape (height, width)."""
    at_once = max(1, STATES // mine.state_bytes(x.shape[2], shape, x.itemsize))
    parts = []
    for rows in torch.arange(len(x)).split(at_once):
        estimator = Estimator(mine, x[rows], shape, seed, rows)
        parts.append(torch.stack([estimator.estimate(x[rows], z[rows])[0] for _ in range(steps + 1)]))
    return torch.cat(parts, 1)
