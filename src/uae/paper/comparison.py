"""One row of a claim: its two sides, its margin, and the smallest difference that the runs could see."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

from uae.intervals import half_width, student, wilson
from uae.paper.cells import AXES, Cell, Key, Measured, quantities

if TYPE_CHECKING:
    from uae.paper.claims import Claim

INCONCLUSIVE = "inconclusive"


def differing(key: Key, over: dict[str, str]) -> Key:
    return cast(Key, tuple(over.get(axis, name) for axis, name in zip(AXES, key, strict=True)))


def _combine(quantity: str, cell: Cell, base: Cell | None) -> Cell:
    """The quantity of a cell, with its spread propagated to first order."""
    if base is None:
        return cell
    stds = [c.std for c in (cell, base) if c.std is not None]
    runs = min(cell.runs, base.runs)
    images = min((c.images for c in (cell, base) if c.images is not None), default=None)
    if quantity == "gain":
        std = math.hypot(*stds) if stds else None
        return Cell(cell.mean - base.mean, std, runs, images=images)
    ratio = cell.mean / base.mean
    slopes = [(c.std or 0) / c.mean for c in (cell, base) if c.mean]
    return Cell(1 - ratio, abs(ratio) * math.hypot(*slopes) if stds else None, runs, images=images)


def compared(claim: Claim, key: Key) -> list[Key]:
    """The cells that a row of a claim compares."""
    return [key] + [differing(key, other) for other in (claim.base, claim.than) if isinstance(other, dict)]


def sides(claim: Claim, key: Key, cells: dict[Key, Cell]) -> tuple[Cell, Cell, list[float]] | None:
    """The two sides of a row and their differences by seed.

    None if a cell is missing or the cells have no common seed.
    """
    needed = compared(claim, key)
    if any(name not in cells for name in needed):
        return None
    seeds = set.intersection(*(set(cells[name].values) for name in needed))
    if not seeds:
        return None
    cells = {name: cells[name].among(seeds) for name in needed}
    base = cells[differing(key, claim.base)] if claim.base else None
    if claim.quantity == "improvement" and base and not all(map(base.of_seed, seeds)):
        return None  # a share of zero is undefined
    left = _combine(claim.quantity, cells[key], base)

    def of_seed(cell: Cell, seed: int) -> float:
        alone = cell.among({seed})
        return _combine(claim.quantity, alone, base and base.among({seed})).mean

    if isinstance(claim.than, dict):
        other = cells[differing(key, claim.than)]
        differences = [of_seed(cells[key], seed) - of_seed(other, seed) for seed in sorted(seeds)]
        return left, _combine(claim.quantity, other, base), differences
    right = quantities()[claim.than] if isinstance(claim.than, str) else float(claim.than)
    return left, Cell(right), [of_seed(cells[key], seed) - right for seed in sorted(seeds)]


def resolution(
    claim: Claim, key: Key, measured: Measured, variant: str, differences: list[float]
) -> tuple[float | None, bool]:
    """The smallest difference that a row's runs could have seen, half of a 95 % interval, and whether the
    spread of runs is in it.

    differences: of its `sides`.
    For several seeds it is the interval of the paired differences, by Student's t. For a single seed it is
    the interval of one difference, with the spread of other runs of the same data, model and metric. The
    uncertainty within each run is added: KID's over its subsets, and a rate's over its samples. Seeds show
    the latter, but few may agree by chance: then the larger of the two counts. None if none of these is
    known.
    """
    cells = measured.cells[variant]
    runs = [cells[name] for name in compared(claim, key)]
    parts = [1.96 * cell.within for cell in runs if cell.within is not None]
    usual = measured.usual_spread(key, variant)
    sampling = 0.0 if claim.quantity == "improvement" else _sampling(key, runs, len(differences))
    if len(differences) > 1:
        parts.append(max(half_width(differences), sampling))
    elif usual:
        std, freedom = usual
        improved = claim.base if claim.quantity == "improvement" else None
        unit = cells[differing(key, improved)].mean if improved else 1
        parts.append(single((std / abs(unit), freedom), len(runs)))
    known = len(differences) > 1 or usual is not None
    if len(differences) == 1 and sampling:
        parts.append(sampling)
    return math.hypot(*parts) if parts else None, known


def single(usual: tuple[float, int], runs: int) -> float:
    """Half of the 95 % interval of a difference between single runs. usual: of `Measured.usual_spread`."""
    std, freedom = usual
    return student(freedom) * std * math.sqrt(runs)


def _sampling(key: Key, cells: list[Cell], seeds: int) -> float:
    """Half of the 95 % interval of rates over their samples, by Wilson, as if no two rates shared samples.

    0 for another metric. Each seed attacks other images. The training set, the test set, and the images of
    the draws of one seed are the same ones.
    """
    attacked = key[-1].partition("@")[0] == "asr"
    halves = []
    for cell in cells:
        if cell.trials:
            count = cell.trials * (seeds if attacked and cell.images else 1)
            low, high = wilson(round(cell.mean * count), count)
            halves.append((high - low) / 2)
    return math.hypot(*halves)


def saturated(claim: Claim, key: Key, left: Cell, right: Cell) -> bool:
    """Whether both rates at an eps are within a point of 0, or of 1, where none can be lower or higher."""
    strict = claim.direction in ("lower", "higher") and key[-1].startswith("asr@")
    return strict and (max(left.mean, right.mean) <= 0.01 or min(left.mean, right.mean) >= 0.99)


def margin(claim: Claim, left: float, right: float) -> float:
    """The distance by which a row holds; negative if it does not hold."""
    if isinstance(claim.tolerance, str):
        slack = float(claim.tolerance[:-1]) / 100 * abs(right)
    else:
        slack = claim.tolerance
    if claim.direction == "close to":
        return slack - abs(left - right)
    return (left - right if claim.direction in ("higher", "at least") else right - left) + slack


def shown(value: float) -> str:
    """A number in the form that verdicts show."""
    return f"{value:.4g}"


def state(claim: Claim, left: Cell, right: Cell, seen: float | None) -> str:
    """Whether a row holds. seen: the smallest difference that its runs could see, its resolution."""
    distance = margin(claim, left.mean, right.mean)
    strict = claim.direction in ("lower", "higher")
    alike = strict and left.mean != right.mean and shown(left.mean) == shown(right.mean)
    if alike or (seen and abs(distance) <= seen):
        return INCONCLUSIVE
    rounding = 1e-12 * max(abs(left.mean), abs(right.mean))
    holds = distance > 0 if strict else distance >= -rounding
    return "holds" if holds else "fails"


def spread(left: Cell, right: Cell) -> float | None:
    """The combined standard deviation of both sides over the runs."""
    stds = [cell.std for cell in (left, right) if cell.std is not None]
    return math.hypot(*stds) if stds else None
