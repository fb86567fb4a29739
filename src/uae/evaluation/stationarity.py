"""How fast an attack becomes stationary (Theorem 1). It needs no torch, because figures use it, too."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from uae.errors import BadFile


def best_so_far(along: np.ndarray) -> np.ndarray:
    """The running minimum, (N, T), of ||L(delta_t, c_t)||^2 along N attacks, (N, T)."""
    return np.minimum.accumulate(along.astype(np.float64), axis=1)


def slope(value: np.ndarray) -> float:
    """The exponent of a power law in the step T = 1.. fitted to (T,) values. Theorem 1 says -1/2 or less.

    The fit uses the upper half of the log axis, from the square root of the last step on. NaN if fewer than
    two values are above 0.
    """
    step = np.arange(1, len(value) + 1)
    late = (step >= np.sqrt(step[-1])) & (value > 0)
    if late.sum() < 2:
        return float("nan")
    return float(np.polyfit(np.log(step[late]), np.log(value[late]), 1)[0])


def reached(arrays: dict[str, np.ndarray], kind: str, path: Path) -> dict[int, np.ndarray]:
    """The best values (samples,) that the attacks of a kind reach in T steps, by T: the arrays `<kind>-<T>`.

    Raises BadFile, with the file's path, for the value of each step that an earlier version wrote.
    """
    start = f"{kind}-"
    found = {int(name.removeprefix(start)): a for name, a in arrays.items() if name.startswith(start)}
    if any(value.ndim != 1 for value in found.values()):
        raise BadFile(f"{path}: has each step of {kind!r} attacks, not their best value; delete it")
    return {horizon: found[horizon].astype(np.float64) for horizon in sorted(found)}


def rate(horizons: list[int], value: list[float]) -> float:
    """The exponent of a power law in the horizon T, fitted to the values that attacks of T steps reach."""
    if len(horizons) < 2 or min(value) <= 0:
        return float("nan")
    return float(np.polyfit(np.log(horizons), np.log(value), 1)[0])
