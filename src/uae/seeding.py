"""Random numbers that depend only on (seed, sample, purpose).

Each number is a hash of its coordinates (SplitMix64's finaliser over a counter), so a sample draws
the same values in any batch, in any order and on any device.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from uae.subseeds import check_seed as check_seed
from uae.subseeds import derive as derive

GOLDEN = 0x9E3779B97F4A7C15
MIX1, MIX2 = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def _signed(value: int) -> int:
    """The int64 with the bits of an unsigned 64-bit integer, because torch has no unsigned arithmetic."""
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >> 63 else value


def _shift(x: Tensor, bits: int) -> Tensor:
    """A logical right shift; torch's is arithmetic."""
    return (x >> bits).bitwise_and_((1 << (64 - bits)) - 1)


def _mix(x: Tensor) -> Tensor:
    """SplitMix64's finaliser, in place."""
    x.bitwise_xor_(_shift(x, 30)).mul_(_signed(MIX1))
    x.bitwise_xor_(_shift(x, 27)).mul_(_signed(MIX2))
    return x.bitwise_xor_(_shift(x, 31))


def integers(index: Tensor) -> Tensor:
    """The samples' indices as int64. Raises ValueError for other numbers: 0.1 and 0.2 would be one index."""
    index = torch.as_tensor(index)
    if index.is_floating_point() or index.is_complex() or index.dtype == torch.bool:
        raise ValueError(f"index must hold integers, got {index.dtype}")
    return index.to(torch.int64)


def bits(seed: int, index: Tensor, purpose: str, shape: tuple[int, ...]) -> Tensor:
    """Random int64 of shape (N, *shape), one stream for each of the N sample indices."""
    count = torch.Size(shape).numel()
    key = _mix(_mix(integers(index) * _signed(GOLDEN)) + derive(seed, purpose))
    steps = torch.arange(1, count + 1, device=index.device) * _signed(GOLDEN)
    return _mix(key[:, None] + steps).reshape(-1, *shape)


def uniform(
    seed: int,
    index: Tensor,
    purpose: str,
    shape: tuple[int, ...],
    limit: float = 1.0,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Uniform numbers in [-limit, limit), of shape (N, *shape)."""
    unit = _shift(bits(seed, index, purpose, shape), 11).to(torch.float64).mul_(2.0**-52)
    return unit.sub_(1).mul_(limit).to(dtype)


def normal(
    seed: int,
    index: Tensor,
    purpose: str,
    shape: tuple[int, ...],
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Standard normal numbers (Box-Muller), of shape (N, *shape)."""
    radius, angle = (uniform(seed, index, f"{purpose}/{part}", shape, 1.0, torch.float64) for part in "ra")
    # (1 - u) / 2 lies in (0, 1]: its logarithm is finite.
    return (torch.sqrt(-2 * torch.log((1 - radius) / 2)) * torch.cos(torch.pi * angle)).to(dtype)


# What `gaussian` computes with: coefficients of (log(1 + m) - m + m^2 / 2) / m^3, of the sine's and the
# cosine's series, and the bits of sqrt(1/2) in float32.
LOG = (0.3331804, -0.24947726, 0.20498742, -0.18366628, 0.11499134)
SINE, COSINE = (-1 / 6, 1 / 120, -1 / 5040), (-1 / 2, 1 / 24, -1 / 720, 1 / 40320)
ROOT_HALF = 0x3F3504F3
HALF = 128  # of a block: as many hashes make the first half and the second


def gaussian(seed: int, index: Tensor, purpose: str, size: int) -> Tensor:
    """Standard normal float32 numbers (Box-Muller), (N, size), quick to draw by parts on any device.

    Every operation is a sum, a product, a root or an operation on bits, which all devices round alike. So the
    numbers have the same bits on every device. `uae.mine.engines.gaussian` is the same, compiled. The
    distribution is normal to 1e-6, because the logarithm and the angle's functions are short polynomials.
    """
    blocks = -(-size // (2 * HALF))
    hashes = bits(seed, index, purpose, (blocks, HALF))
    first, second = _shift(hashes, 32), hashes.bitwise_and_((1 << 32) - 1)
    # The logarithm of the radius' (h + 1/2) / 2^24 = 2^e (1 + m), with 1 + m from sqrt(1/2) to sqrt(2)
    whole = ((first >> 8).to(torch.float32) + 0.5).view(torch.int32) - ROOT_HALF
    exponent = (whole >> 23).to(torch.float32) - 24
    m = (whole.bitwise_and_(0x7FFFFF) + ROOT_HALF).view(torch.float32) - 1
    square = m * m
    p = (LOG[1] * m + LOG[0]) + square * ((LOG[3] * m + LOG[2]) + square * LOG[4])
    log = exponent * math.log(2) + (m + square * (m * p - 0.5))
    # In float64: MKL's root of float32 is not always the nearest.
    radius = (log * -2).clamp_(min=0).double().sqrt_().float()
    # An angle from -pi/4 to pi/4, and two bits for the quarter of the circle
    angle = (second & 0x3FFFFFFF).to(torch.float32) * (math.pi / 2**31) - math.pi / 4
    square = angle * angle
    sine = angle + angle * square * ((SINE[2] * square + SINE[1]) * square + SINE[0])
    cosine = ((COSINE[3] * square + COSINE[2]) * square + COSINE[1]) * square + COSINE[0]
    cosine = cosine * square + 1
    radius = torch.where(second >> 31 == 1, -radius, radius)
    turned = (second >> 30) & 1 == 1
    pair = radius * torch.where(turned, sine, cosine), radius * torch.where(turned, cosine, sine)
    return torch.cat(pair, -1).flatten(1)[:, :size]


def permutations(seed: int, index: Tensor, purpose: str, count: int, size: int) -> Tensor:
    """`count` random permutations of range(size) for each sample: int64 of shape (N, count, size)."""
    return bits(seed, index, purpose, (count, size)).argsort(dim=-1)
