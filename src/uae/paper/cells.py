"""Cells: a measured number's runs and their spread, and the paper's own cells."""

from __future__ import annotations

import csv
import fnmatch
import functools
import itertools
import math
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean, stdev, variance

from uae import shipped
from uae.paper.perturbation import OF_THE_ATTACK, changes
from uae.records import Record

REFERENCE = Path(__file__).parent / "reference"
AXES = ("experiment", "dataset", "model", "method", "metric")
Key = tuple[str, str, str, str, str]  # the axes

_AT_EPS = re.compile(r"(\w+)@([0-9.e-]+)(?:/([0-9]+))?")


@dataclass(frozen=True)
class Cell:
    """A measured number: mean and standard deviation (None if unknown) over `runs`.

    values: by seed, its runs: several if noise is drawn several times.
    images: the number of attacked images, if the records state it.
    trials: of a rate, the samples of a seed over which it is a share, if the records state them.
    features: the network whose features an image distance compares, if it is not Inception.
    within: the standard error within a run (KID's deviation over its subsets, a mean's over its images).
    """

    mean: float
    std: float | None = None
    runs: int = 1
    values: dict[int, list[float]] = field(default_factory=dict)
    images: int | None = None
    within: float | None = None
    trials: int | None = None
    features: str | None = None

    @classmethod
    def of(
        cls,
        values: dict[int, list[float]],
        within: float | None = None,
        images: int | None = None,
        trials: int | None = None,
    ) -> Cell:
        runs = list(itertools.chain(*values.values()))
        stds = ([stdev(runs)] if len(runs) > 1 else []) + ([] if within is None else [within])
        return cls(
            fmean(runs), math.hypot(*stds) if stds else None, len(runs), values, images, within, trials
        )

    def among(self, seeds: set[int]) -> Cell:
        """The cell with the mean over some seeds. Its spread stays that of all runs."""
        part = Cell.of({seed: runs for seed, runs in self.values.items() if seed in seeds})
        return replace(self, mean=part.mean, runs=part.runs, values=part.values)

    def of_seed(self, seed: int) -> float:
        return fmean(self.values[seed])


@functools.cache
def quantities() -> dict[str, float]:
    """The numbers in the paper's text, by name."""
    with (REFERENCE / "text.csv").open(encoding="utf-8") as file:
        return {row["quantity"]: float(row["value"]) for row in csv.DictReader(file)}


def _metric(name: str) -> str:
    """Normalise the name of a metric at an eps: asr@16/255 and asr@0.062745 are the same."""
    match = _AT_EPS.fullmatch(name)
    return name if match is None else f"{match[1]}@{float(match[2]) / float(match[3] or 1):.3g}"


def _eps(key: Key) -> float:
    match = _AT_EPS.fullmatch(key[-1])
    return float(match[2]) if match else math.inf


class Measured:
    """Cells by variant of the data and key."""

    def __init__(self) -> None:
        self.cells: dict[str, dict[Key, Cell]] = {}
        self.changes: dict[tuple[str, str, str, str, str], float] = {}  # see `uae.paper.perturbation`

    def change(self, key: Key, variant: str) -> float | None:
        """The median change of the UAEs of the cell's method, if it has any."""
        experiment, dataset, model, method, _ = key
        return self.changes.get((experiment, variant, dataset, model, method))

    def usual_spread(self, key: Key, variant: str) -> tuple[float, int] | None:
        """The standard deviation of a single run on this data, model and metric, and its degrees of freedom.

        It is pooled over the methods that have several runs; None if there are none. A run is a training: the
        draws of Gaussian noise are runs of a retrained model's metrics. For metrics of an attack, all draws
        of a seed are one run, because they attack one model.
        """
        retrained = key[0] == "reconstruction" and key[-1] not in OF_THE_ATTACK
        runs = [
            [*itertools.chain(*cell.values.values())] if retrained else [*map(cell.of_seed, cell.values)]
            for other, cell in self.cells[variant].items()
            if (*other[:3], other[4]) == (*key[:3], key[4])
        ]
        several = [values for values in runs if len(values) > 1]
        freedom = sum(len(runs) - 1 for runs in several)
        squares = sum(variance(runs) * (len(runs) - 1) for runs in several)
        return (math.sqrt(squares / freedom), freedom) if freedom else None

    def variants(self, key: Key) -> list[str]:
        return sorted(variant for variant, cells in self.cells.items() if key in cells)

    def matching(self, key: Key) -> list[Key]:
        """The keys that match a metric with a wildcard, in the order of their eps."""
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
    """The cells of records: mean and standard deviation over seeds and draws of noise."""
    found: dict[tuple[str, Key], list[tuple[Record, str]]] = {}
    for r in records:
        for metric in r.metrics:
            key = (r.experiment, r.dataset, r.model, r.method, _metric(metric))
            found.setdefault((r.variant, key), []).append((r, metric))
    out = Measured()
    out.changes = changes(records)
    for (variant, key), behind in found.items():
        values: dict[int, list[float]] = {}
        for r, metric in behind:
            values.setdefault(r.seed, []).append(r.metrics[metric])
        name, at, eps = behind[0][1].partition("@")
        suffix = "_std" if name in ("kid", "kernel_lite0") else "_error"  # other _std are not of the mean
        error = f"{name}{suffix}{at}{eps}"
        within = [r.metrics[error] for r, _ in behind if error in r.metrics]
        images = [int(r.metrics["n_attacked"]) for r, _ in behind if "n_attacked" in r.metrics]
        first = behind[0][0]
        cell = Cell.of(
            values, fmean(within) if within else None, min(images, default=None), _trials(key, first)
        )
        out.cells.setdefault(variant, {})[key] = replace(cell, features=_features(key, first))
    return out


def _features(key: Key, record: Record) -> str | None:
    """The network whose features give a FID or KID, if it is not the one by which they are defined."""
    network = record.settings.get("extractor") if key[-1] in ("fid", "kid") else None
    return None if network == "Inception-v3" else network


def _trials(key: Key, record: Record) -> int | None:
    """The samples over which a rate is a share: attacked ones, or those of the test set."""
    name = key[-1].partition("@")[0]
    if name == "asr":  # a reconstruction's UAEs are of all training samples
        count = record.metrics.get("n_attacked", record.metrics.get("n_train"))
    else:
        count = record.metrics.get("n_test") if name in ("accuracy", "linear_accuracy") else None
    return int(count) if count else None


@functools.cache
def printed() -> Measured:
    """The paper's own cells, as its tables print them, without spreads."""
    sources = shipped.read(REFERENCE / "sources.yaml")
    out = Measured()
    for table, entry in sources.items():
        with (REFERENCE / f"{table}.csv").open(encoding="utf-8") as file:
            for row in csv.DictReader(file):
                key = (entry["experiment"], *(row[axis] for axis in AXES[1:]))
                out.cells.setdefault("paper", {})[key] = Cell.of({0: [float(row["value"])]})
    return out
