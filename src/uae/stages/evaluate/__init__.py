"""Measure models: write the records of all experiments, and the images and curves of figures."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

# By experiment, the module with a function of the experiment's name
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
    """Write `target`, a record or a figure's data. Its path states the experiment and the measured model.

    job: `settings`, `device`, `progress` and inputs, as `Subject` takes them.
    """
    # Not at the top: the workflow reads MODULES, without torch.
    from uae.stages.evaluate.subject import Subject

    subject = Subject(target, **job)
    experiment = subject.names.experiment
    assert experiment is not None  # of a record
    getattr(importlib.import_module(module(experiment)), experiment)(subject)
