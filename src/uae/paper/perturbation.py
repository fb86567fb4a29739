"""Whether a set of UAEs differs from its originals. If it does not, a comparison tests nothing."""

from __future__ import annotations

import math

from uae.records import Record

NO_PERTURBATION = "no perturbation"
GREY_LEVEL = 1 / 255  # the smallest difference between two pixels, as a share of the data's range
# The row of robust models' UAEs, for records that do not state the change
SOURCE = "convolutional"
# Metrics of the attack itself, which hold even if the examples equal their originals
OF_THE_ATTACK = {"asr", "l2_mean", "mi_mean", "step_mean", "success_change", "median_change"}
# Features of a sample, for records from before the change was measured
FEATURES = {
    "mnist": 784,
    "fashion-mnist": 784,
    "svhn": 3072,
    "cifar10": 3072,
    "isolet": 617,
    "coil-20": 400,
    "mice-protein": 77,
    "activity": 561,
}

Key = tuple[str, str, str, str, str]  # experiment, variant, dataset, model, method


def change(record: Record) -> float | None:
    """The median, over a record's UAEs, of the root-mean-square change of a feature. None without a UAE set.

    Failures do not count: they are no UAEs. In a record from before December 2026 the mean takes the place
    of the median.
    """
    metrics = record.metrics
    if "success_change" in metrics:
        return metrics["success_change"]
    if record.experiment != "reconstruction" or "attack" not in record.settings or "asr" not in metrics:
        return None
    name = next(name for name in FEATURES if record.dataset.startswith(name))
    return metrics.get("l2_mean", 0.0) / math.sqrt(FEATURES[name])


def unperturbed(records: list[Record]) -> set[Key]:
    """The models whose UAEs have a median change, over all seeds, below one grey level."""
    return {key for key, largest in changes(records).items() if largest < GREY_LEVEL}


def changes(records: list[Record]) -> dict[Key, float]:
    """The largest median change, over its seeds, of the UAEs that a model was trained with.

    A robust model's record that does not state the change takes that of its UAEs' row. The row's records may
    be of more data than the robust model's: then full-size ones stand in for them.
    """
    found: dict[Key, list[float]] = {}
    of_source: dict[tuple[str, str], list[float]] = {}  # by data set and method
    for r in records:
        if (changed := change(r)) is not None:
            found.setdefault((r.experiment, r.variant, r.dataset, r.model, r.method), []).append(changed)
            if (r.experiment, r.model) == ("reconstruction", SOURCE):
                of_source.setdefault((r.dataset, r.method), []).append(changed)
    for r in records:
        source = of_source.get((r.dataset, r.method))
        if r.experiment == "robustness" and "success_change" not in r.metrics and source:
            found[r.experiment, r.variant, r.dataset, r.model, r.method] = source
    return {key: max(values) for key, values in found.items()}
