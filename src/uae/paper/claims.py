"""The paper's claims as tests over records: what reproduced, what did not, what was not run.

A claim (reference/claims.yaml, which explains the keys) is one comparison a row. A row is decided by its
margin, the signed distance by which it holds, beside the spread of the runs:

    spread = root of the sum of the squared standard deviations of what is compared

A row about a model that was trained with UAEs which are their originals says `no perturbation` instead.

A standard deviation is that over the runs, together with one that the records themselves have (KID's over its
subsets, `kid_std`). Where there is a spread and the margin is within it, the row is inconclusive; so is a
difference beyond the four digits that are shown. Cells are compared within one variant of the data only, and
means over the seeds that all of them have. The same rows on the paper's own cells give the paper's numbers.
"""

from __future__ import annotations

import csv
import fnmatch
import functools
import itertools
import math
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from uae.errors import BadFile
from uae.paper.perturbation import NO_PERTURBATION, OF_THE_ATTACK, unperturbed
from uae.records import Record

REFERENCE = Path(__file__).parent / "reference"
AXES = ("experiment", "dataset", "model", "method", "metric")
REPRODUCED, PARTLY, NOT_REPRODUCED = "reproduced", "partly", "not reproduced"
INCONCLUSIVE, NOT_RUN = "inconclusive", "not run"
VERDICTS = (REPRODUCED, PARTLY, INCONCLUSIVE, NOT_REPRODUCED, NO_PERTURBATION, NOT_RUN)

_AT_EPS = re.compile(r"(\w+)@([0-9.e-]+)(?:/([0-9]+))?")

Key = tuple[str, str, str, str, str]  # the axes
Names = str | list[str]


class Cells(BaseModel):
    """Which cells a claim is about; a list of names stands for each of them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    experiment: str
    dataset: Names
    model: Names
    method: Names
    metric: Names

    def combinations(self) -> list[Key]:
        names = [getattr(self, axis) for axis in AXES]
        return list(itertools.product(*([n] if isinstance(n, str) else n for n in names)))


class Claim(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    source: str
    statement: str
    cells: Cells
    quantity: Literal["value", "improvement", "gain"] = "value"
    base: dict[str, str] | None = None
    direction: Literal["lower", "higher", "at least", "at most", "close to"] = Field(alias="is")
    than: float | str | dict[str, str]
    tolerance: float | str
    holds_in: Literal["all", "most"] | int = Field("all", alias="holds in")
    reason: str
    paper: str = ""
    ours: bool = False

    @model_validator(mode="after")
    def _whole(self) -> Claim:
        if (self.quantity == "value") != (self.base is None):
            raise ValueError("base is for the quantities improvement and gain, which need it")
        for other in (self.base, self.than):
            if isinstance(other, dict) and not set(other) <= set(AXES):
                raise ValueError(f"{other}: a cell differs in {', '.join(AXES)} only")
        if isinstance(self.than, str) and self.than not in quantities():
            raise ValueError(f"than: {self.than!r} is no quantity of text.csv")
        if isinstance(self.tolerance, str) and not re.fullmatch(r"\d+(\.\d+)?%", self.tolerance):
            raise ValueError(f"tolerance: {self.tolerance!r} is neither a number nor a share such as 10%")
        if self.direction in ("lower", "higher") and self.tolerance:
            raise ValueError(f"{self.direction} has no tolerance; use 'at most' or 'at least'")
        return self


@dataclass(frozen=True)
class Cell:
    """A measured number: mean and standard deviation (None where there is none) over `runs`.

    values: the runs of each seed, several where noise is drawn several times.
    images: how many were attacked for it, where the records say so.
    """

    mean: float
    std: float | None = None
    runs: int = 1
    values: dict[int, list[float]] = field(default_factory=dict)
    images: int | None = None

    @classmethod
    def of(
        cls, values: dict[int, list[float]], within: float | None = None, images: int | None = None
    ) -> Cell:
        """within: a standard deviation that each run has by itself."""
        runs = list(itertools.chain(*values.values()))
        stds = ([stdev(runs)] if len(runs) > 1 else []) + ([] if within is None else [within])
        return cls(fmean(runs), math.hypot(*stds) if stds else None, len(runs), values, images)

    def among(self, seeds: set[int]) -> Cell:
        """The mean over some of the seeds; the spread stays that of all runs."""
        part = Cell.of({seed: runs for seed, runs in self.values.items() if seed in seeds})
        return replace(part, std=self.std, images=self.images)


@dataclass(frozen=True)
class Row:
    """One comparison. `state` is holds, fails, inconclusive, no perturbation or not run."""

    label: str
    variant: str
    state: str
    ours: float | None = None
    ours_other: float | None = None
    spread: float | None = None
    runs: int = 0
    paper: float | None = None
    paper_other: float | None = None
    images: int | None = None
    images_other: int | None = None

    @property
    def basis(self) -> str:
        """What ours was measured on: data, runs, and attacked images where the records say so."""
        counts = [f"{n:,}" for n in dict.fromkeys((self.images, self.images_other)) if n is not None]
        images = [f"{' and '.join(counts)} image{'s' * (counts != ['1'])}"] if counts else []
        return ", ".join([self.variant, f"{self.runs} run{'s' * (self.runs > 1)}", *images])


@dataclass(frozen=True)
class Verdict:
    claim: Claim
    verdict: str
    rows: list[Row] = field(default_factory=list)

    @property
    def holding(self) -> int:
        return sum(row.state == "holds" for row in self.rows)

    def as_dict(self) -> dict[str, Any]:
        claim = self.claim.model_dump(exclude={"cells", "base", "than", "paper"})
        return claim | {"verdict": self.verdict, "rows": [vars(row) for row in self.rows]}


@functools.cache
def quantities() -> dict[str, float]:
    """The numbers of the paper's text by name."""
    with (REFERENCE / "text.csv").open(encoding="utf-8") as file:
        return {row["quantity"]: float(row["value"]) for row in csv.DictReader(file)}


def read(path: Path = REFERENCE / "claims.yaml") -> list[Claim]:
    """The claims of a file, in its order. Raises BadFile naming the claim and what is wrong with it."""
    claims = []
    for entry in yaml.safe_load(path.read_text(encoding="utf-8")):
        try:
            claims.append(Claim.model_validate(entry))
        except ValidationError as error:
            raise BadFile(f"{path}: claim {entry.get('id', entry)!r}: {error}") from None
    names = [claim.id for claim in claims]
    if twice := {name for name in names if names.count(name) > 1}:
        raise BadFile(f"{path}: more than one claim {', '.join(sorted(twice))}")
    return claims


def _metric(name: str) -> str:
    """One spelling of a metric at an eps: asr@16/255 and asr@0.062745 are the same."""
    match = _AT_EPS.fullmatch(name)
    return name if match is None else f"{match[1]}@{float(match[2]) / float(match[3] or 1):.3g}"


def _eps(key: Key) -> float:
    match = _AT_EPS.fullmatch(key[-1])
    return float(match[2]) if match else math.inf


class Measured:
    """Cells by variant of the data and key."""

    def __init__(self) -> None:
        self.cells: dict[str, dict[Key, Cell]] = {}
        self.unperturbed: set[tuple[str, ...]] = set()  # see `uae.paper.perturbation`

    def tests_nothing(self, key: Key, variant: str) -> bool:
        """Whether a cell is of a model that was trained with UAEs which are their originals."""
        *where, metric = key
        return (where[0], variant, *where[1:]) in self.unperturbed and metric not in OF_THE_ATTACK

    def variants(self, key: Key) -> list[str]:
        return sorted(variant for variant, cells in self.cells.items() if key in cells)

    def matching(self, key: Key) -> list[Key]:
        """The keys that a metric with a wildcard stands for, in the order of their eps."""
        if "*" not in key[-1]:
            return [(*key[:-1], _metric(key[-1]))]
        found = {
            other
            for cells in self.cells.values()
            for other in cells
            if other[:-1] == key[:-1] and fnmatch.fnmatchcase(other[-1], key[-1])
        }
        return sorted(found, key=_eps) or [key]


def measured(records: list[Record]) -> Measured:
    """The cells of records: mean and standard deviation over seeds, and draws of noise."""
    found: dict[tuple[str, Key], list[tuple[Record, str]]] = {}
    for r in records:
        for metric in r.metrics:
            key = (r.experiment, r.dataset, r.model, r.method, _metric(metric))
            found.setdefault((r.variant, key), []).append((r, metric))
    out = Measured()
    out.unperturbed = unperturbed(records)
    for (variant, key), behind in found.items():
        values: dict[int, list[float]] = {}
        for r, metric in behind:
            values.setdefault(r.seed, []).append(r.metrics[metric])
        within = [r.metrics[f"{metric}_std"] for r, metric in behind if f"{metric}_std" in r.metrics]
        images = [int(r.metrics["n_attacked"]) for r, _ in behind if "n_attacked" in r.metrics]
        out.cells.setdefault(variant, {})[key] = Cell.of(
            values, fmean(within) if within else None, min(images, default=None)
        )
    return out


@functools.cache
def printed() -> Measured:
    """The paper's own cells, without their spreads: what its tables show."""
    sources = yaml.safe_load((REFERENCE / "sources.yaml").read_text(encoding="utf-8"))
    out = Measured()
    for table, entry in sources.items():
        with (REFERENCE / f"{table}.csv").open(encoding="utf-8") as file:
            for row in csv.DictReader(file):
                key = (entry["experiment"], *(row[axis] for axis in AXES[1:]))
                out.cells.setdefault("paper", {})[key] = Cell.of({0: [float(row["value"])]})
    return out


def _differing(key: Key, over: dict[str, str]) -> Key:
    return tuple(over.get(axis, name) for axis, name in zip(AXES, key, strict=True))


def _combine(quantity: str, cell: Cell, base: Cell | None) -> Cell:
    """The quantity of a cell, its spread carried over to first order."""
    if base is None:
        return cell
    stds = [c.std for c in (cell, base) if c.std is not None]
    runs = min(cell.runs, base.runs)
    if quantity == "gain":
        return Cell(cell.mean - base.mean, math.hypot(*stds) if stds else None, runs)
    ratio = cell.mean / base.mean
    slopes = [(c.std or 0) / c.mean for c in (cell, base) if c.mean]
    return Cell(1 - ratio, abs(ratio) * math.hypot(*slopes) if stds else None, runs)


def _compared(claim: Claim, key: Key) -> list[Key]:
    """The cells that a row of a claim compares."""
    return [key] + [_differing(key, other) for other in (claim.base, claim.than) if isinstance(other, dict)]


def _sides(claim: Claim, key: Key, cells: dict[Key, Cell]) -> tuple[Cell, Cell] | None:
    """What the claim compares in one row, None where a cell is missing or they have no seed in common."""
    needed = _compared(claim, key)
    if any(name not in cells for name in needed):
        return None
    seeds = set.intersection(*(set(cells[name].values) for name in needed))
    if not seeds:
        return None
    cells = {name: cells[name].among(seeds) for name in needed}
    base = cells[_differing(key, claim.base)] if claim.base else None
    if claim.quantity == "improvement" and base and not base.mean:
        return None  # no share of nothing
    left = _combine(claim.quantity, cells[key], base)
    if isinstance(claim.than, dict):
        return left, _combine(claim.quantity, cells[_differing(key, claim.than)], base)
    return left, Cell(quantities()[claim.than] if isinstance(claim.than, str) else claim.than)


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


def _state(claim: Claim, left: Cell, right: Cell) -> tuple[str, float | None]:
    """Whether a row holds, and the spread that it is held against."""
    distance = margin(claim, left.mean, right.mean)
    stds = [cell.std for cell in (left, right) if cell.std is not None]
    spread = math.hypot(*stds) if stds else None
    strict = claim.direction in ("lower", "higher")
    alike = strict and left.mean != right.mean and shown(left.mean) == shown(right.mean)
    if alike or (spread and abs(distance) <= spread):
        return INCONCLUSIVE, spread
    rounding = 1e-12 * max(abs(left.mean), abs(right.mean))
    holds = distance > 0 if strict else distance >= -rounding
    return ("holds" if holds else "fails"), spread


def _rows(claim: Claim, ours: Measured, paper: Measured, settings: str) -> list[Row]:
    rows, compared = [], _adapted(claim, settings)
    for wanted in claim.cells.combinations():
        # The paper has one number, which stands beside ours with its words and with the authors' settings.
        for key in ours.matching(_with(wanted, settings)):
            papers = _sides(claim, _without(key, settings), paper.cells["paper"])
            theirs = (None, None) if papers is None else (papers[0].mean, papers[1].mean)
            variants = [v for v in ours.variants(key) if _sides(compared, key, ours.cells[v])]
            named = 4 if isinstance(claim.cells.method, list) else 3  # the method where there are several
            label = "/".join(_without(key, settings)[1:named]) + (f" {key[-1]}" if "@" in key[-1] else "")
            if not variants:
                rows.append(Row(label, "", NOT_RUN, paper=theirs[0], paper_other=theirs[1]))
            for variant in variants:
                left, right = _sides(compared, key, ours.cells[variant])
                state, spread = _state(compared, left, right)
                if any(ours.tests_nothing(cell, variant) for cell in _compared(compared, key)):
                    state = NO_PERTURBATION
                runs = min(left.runs, right.runs) if isinstance(claim.than, dict) else left.runs
                images = left.images, right.images
                rows.append(Row(label, variant, state, left.mean, right.mean, spread, runs, *theirs, *images))
    return rows


def _decide(claim: Claim, states: list[str]) -> str:
    """The verdict of a claim from the states of its rows."""
    holding, failing = states.count("holds"), states.count("fails")
    total = len(states)
    needed = {"all": total, "most": total // 2 + 1}.get(claim.holds_in, claim.holds_in)
    if states.count(NOT_RUN) + states.count(NO_PERTURBATION) == total:
        return NO_PERTURBATION if NO_PERTURBATION in states else NOT_RUN
    if holding >= needed:
        return REPRODUCED
    if holding and (claim.holds_in == "all" or total - failing >= needed):
        return PARTLY
    # One failure refutes "all"; "most" and a number are refuted when the rows left cannot make up for it.
    refuted = failing if claim.holds_in == "all" else total - failing < needed
    return NOT_REPRODUCED if refuted else INCONCLUSIVE


def evaluate(
    records: list[Record], claims: list[Claim] | None = None, settings: str = "paper"
) -> list[Verdict]:
    """The verdict of every claim.

    settings: `paper` for the UAEs as the paper words them, `released` for those with the settings of the
    authors' code (methods named …-uae-released); only claims about UAEs are returned then.
    """
    ours, out = measured(records), []
    for claim in read() if claims is None else claims:
        if settings == "released" and _adapted(claim, settings).cells == claim.cells:
            continue  # nor where UAEs are only what other methods are compared with
        rows = _rows(claim, ours, printed(), settings)
        out.append(Verdict(claim, _decide(claim, [row.state for row in rows]), rows))
    return out


_UAE = re.compile(r"\b(mine|l2)-uae\b(?!-released)")


def _release(method: str) -> str:
    return _UAE.sub(r"\1-uae-released", method)


def _with(key: Key, settings: str) -> Key:
    return (*key[:3], _release(key[3]), key[4]) if settings == "released" else key


def _without(key: Key, settings: str) -> Key:
    return (*key[:3], key[3].replace("-uae-released", "-uae"), key[4]) if settings == "released" else key


def _adapted(claim: Claim, settings: str) -> Claim:
    """The claim with the methods of the authors' settings in place of the paper's words."""
    if settings == "paper":
        return claim

    def released(names: Any) -> Any:
        if isinstance(names, dict):
            return names | {"method": released(names["method"])} if "method" in names else names
        return [_release(name) for name in names] if isinstance(names, list) else names and _release(names)

    cells = claim.cells.model_copy(update={"method": released(claim.cells.method)})
    than = released(claim.than) if isinstance(claim.than, dict) else claim.than
    return claim.model_copy(
        update={"cells": cells, "base": claim.base and released(claim.base), "than": than}
    )
