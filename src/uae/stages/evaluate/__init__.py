"""Measure models: every record of every experiment, and the images and curves that figures show."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from uae import identity

# Where the function of each experiment is, which has the experiment's name
MODULES = {
    "reconstruction": "autoencoders",
    "figure5": "autoencoders",
    "theorem1": "stationarity",
    "estimator": "estimator",
    "contrastive": "simclr",
    "table1": "classifiers",
    "table2": "classifiers",
    "table3": "classifiers",
    "bounds": "classifiers",
    "figure1": "pictures",
    "figure2": "pictures",
    "figure3": "pictures",
    "figure4": "pictures",
    "robustness": "robust",
    "figure6": "robust",
}


def module(experiment: str) -> str:
    """The module whose function measures an experiment."""
    return f"{__name__}.{MODULES[experiment]}"


def run(target: Path, **job: Any) -> None:
    """Write `target`, a record or a figure's data, whose place says the experiment and what is measured.

    job: the stage's inputs, `settings`, `device` and `progress`; the function of the experiment says which.
    """
    experiment = identity.names(target).experiment
    assert experiment is not None  # of a record
    getattr(importlib.import_module(module(experiment)), experiment)(target, **job)
