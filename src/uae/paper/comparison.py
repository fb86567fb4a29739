"""One row of a claim: what is compared, by what margin it holds, and what the runs could have seen."""

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
    """The quantity of a cell, its spread carried over to first order."""
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
    """What the claim compares in one row, and the differences of each seed.

    None where a cell is missing or they have no seed in common.
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
        return None  # no share of nothing
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
    claim: Claim, key: Key, measured: Measured, variant: str, left: Cell, differences: list[float]
) -> float | None:
    """The smallest difference that the runs behind a row could have seen: half of its 95 % interval.

    left, differences: its `sides`.
    Over several seeds that of the paired differences, by Student's t. For a single seed that of one run's
    difference, with the spread of other runs of the same data, model and metric. To either comes what each
    run is uncertain by itself: over KID's subsets, and of a rate that is compared with a number over its
    images. None where none of these is known.
    """
    cells = measured.cells[variant]

    runs = [cells[name] for name in compared(claim, key)]
    parts = [1.96 * cell.within for cell in runs if cell.within is not None]
    if len(differences) > 1:
        parts.append(half_width(differences))
    elif usual := measured.usual_spread(key, variant):
        std, freedom = usual
        improved = claim.base if claim.quantity == "improvement" else None
        unit = cells[differing(key, improved)].mean if improved else 1
        parts.append(student(freedom) * std / abs(unit) * math.sqrt(len(runs)))
    if left.images and claim.quantity == "value" and not isinstance(claim.than, dict) and _is_rate(key):
        low, high = wilson(round(left.mean * left.images), left.images)
        parts.append((high - low) / 2)
    return math.hypot(*parts) if parts else None


def _is_rate(key: Key) -> bool:
    return key[-1].partition("@")[0] == "asr"


def margin(claim: Claim, left: float, right: float) -> float:
    """The distance by which a row holds, negative where it does not."""
    if isinstance(claim.tolerance, str):
        slack = float(claim.tolerance[:-1]) / 100 * abs(right)
    else:
        slack = claim.tolerance
    if claim.direction == "close to":
        return slack - abs(left - right)
    return (left - right if claim.direction in ("higher", "at least") else right - left) + slack


def shown(value: float) -> str:
    """A number as verdicts show it."""
    return f"{value:.4g}"


def state(claim: Claim, left: Cell, right: Cell, seen: float | None) -> str:
    """Whether a row holds, beside the smallest difference that could be `seen`, its resolution."""
    distance = margin(claim, left.mean, right.mean)
    strict = claim.direction in ("lower", "higher")
    alike = strict and left.mean != right.mean and shown(left.mean) == shown(right.mean)
    if alike or (seen and abs(distance) <= seen):
        return INCONCLUSIVE
    rounding = 1e-12 * max(abs(left.mean), abs(right.mean))
    holds = distance > 0 if strict else distance >= -rounding
    return "holds" if holds else "fails"


def spread(left: Cell, right: Cell) -> float | None:
    """The standard deviation over the runs, of both sides together."""
    stds = [cell.std for cell in (left, right) if cell.std is not None]
    return math.hypot(*stds) if stds else None
