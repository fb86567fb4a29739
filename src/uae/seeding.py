"""Random numbers that depend only on (seed, sample, purpose).

Each number is a hash of its coordinates (SplitMix64's finaliser over a counter), so a sample draws
the same values in any batch, in any order and on any device.
"""

from __future__ import annotations

import torch
from torch import Tensor

from uae.subseeds import derive as derive

_GOLDEN = 0x9E3779B97F4A7C15
_MIX1, _MIX2 = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def _signed(value: int) -> int:
    """The int64 with the bits of an unsigned 64-bit integer, because torch has no unsigned arithmetic."""
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >> 63 else value


def _shift(x: Tensor, bits: int) -> Tensor:
    """A logical right shift; torch's is arithmetic."""
    return (x >> bits).bitwise_and_((1 << (64 - bits)) - 1)


def _mix(x: Tensor) -> Tensor:
    """SplitMix64's finaliser, in place."""
    x.bitwise_xor_(_shift(x, 30)).mul_(_signed(_MIX1))
    x.bitwise_xor_(_shift(x, 27)).mul_(_signed(_MIX2))
    return x.bitwise_xor_(_shift(x, 31))


def bits(seed: int, index: Tensor, purpose: str, shape: tuple[int, ...]) -> Tensor:
    """Random int64 of shape (N, *shape), one stream for each of the N sample indices."""
    count = torch.Size(shape).numel()
    key = _mix(_mix(index.to(torch.int64) * _signed(_GOLDEN)) + derive(seed, purpose))
    steps = torch.arange(1, count + 1, device=index.device) * _signed(_GOLDEN)
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


def permutations(seed: int, index: Tensor, purpose: str, count: int, size: int) -> Tensor:
    """`count` random permutations of range(size) for each sample: int64 of shape (N, count, size)."""
    return bits(seed, index, purpose, (count, size)).argsort(dim=-1)
