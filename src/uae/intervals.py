"""Intervals of proportions; imports no torch, so that figures can use it."""

from __future__ import annotations

import math
from statistics import NormalDist


def wilson(hits: int, count: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a proportion (Wilson 1927), in [0, 1].

    >>> [round(limit, 3) for limit in wilson(0, 100)]
    [0.0, 0.037]
    """
    if not 0 <= hits <= count or count < 1:
        raise ValueError(f"need 0 <= hits <= count and count >= 1, got {hits} of {count}")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = hits / count
    centre = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + (z / (2 * count)) ** 2)
    # At the ends the interval includes the share itself; rounding must not cut it off.
    low = 0.0 if hits == 0 else centre - half
    high = 1.0 if hits == count else centre + half
    return low, high
