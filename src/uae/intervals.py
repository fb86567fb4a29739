"""95 % intervals of proportions and means. It imports no torch, so that figures can use it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist, fmean, stdev

ABOVE = 0.975  # the probability below an interval's upper end


def wilson(hits: int, count: int) -> tuple[float, float]:
    """Wilson's score interval of a proportion (Wilson 1927), in [0, 1].

    >>> [round(limit, 3) for limit in wilson(0, 100)]
    [0.0, 0.037]
    """
    if not 0 <= hits <= count or count < 1:
        raise ValueError(f"need 0 <= hits <= count and count >= 1, got {hits} of {count}")
    z = NormalDist().inv_cdf(ABOVE)
    share = hits / count
    centre = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + (z / (2 * count)) ** 2)
    # At the ends the interval includes the share itself; rounding must not cut it off.
    low = 0.0 if hits == 0 else centre - half
    high = 1.0 if hits == count else centre + half
    return low, high


def student(freedom: int) -> float:
    """The half width of a mean's interval in standard errors, by Student's t.

    >>> round(student(2), 2)
    4.3
    """
    from scipy.special import stdtrit  # slow to import, and `uae --help` does not need it

    if freedom < 1:
        raise ValueError(f"need at least 1 degree of freedom, got {freedom}")
    return float(stdtrit(freedom, ABOVE))


def half_width(values: Sequence[float]) -> float:
    """Half of the t interval of a mean. For paired differences: the smallest mean that differs from zero.

    Raises ValueError for fewer than two values.

    >>> round(half_width([1.0, 2.0, 3.0]), 3)
    2.484
    """
    if len(values) < 2:
        raise ValueError(f"need at least 2 values, got {len(values)}")
    return student(len(values) - 1) * stdev(values) / math.sqrt(len(values))


def paired_p(differences: Sequence[float]) -> float:
    """The two-sided p value of paired differences by Student's t test; NaN for a single or for equal ones.

    >>> round(paired_p([1.0, 2.0, 3.0]), 4)
    0.0742
    """
    from scipy.special import stdtr  # slow to import; scipy.stats takes a second more

    count = len(differences)
    spread = stdev(differences) if count > 1 else 0.0
    if not spread:
        return math.nan
    return float(2 * stdtr(count - 1, -abs(fmean(differences)) / spread * math.sqrt(count)))
