"""What all records have in common."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from uae import curves, identity, records, storage

Files = Mapping[Path, Mapping[str, Any]]  # the metadata of what was measured, by its file


def record(
    target: Path,
    *,
    data: Mapping[str, Any],
    metrics: dict[str, float],
    settings: dict[str, Any],
    provenance: dict[str, Any],
    files: Files,
    experiment: str | None = None,
    run: Mapping[str, Any] | None = None,
) -> None:
    """Write a record; its place says what it is of. data: the metadata of the data set.

    experiment: where it is not the folder's name.  run: the metadata of the checkpoint whose training curve
    the record keeps.
    """
    names = identity.names(target)
    experiment = experiment or names.experiment
    assert experiment is not None and names.method is not None  # of a record
    records.Record(
        experiment=experiment,
        dataset=names.dataset,
        variant=data["variant"],
        title=data["title"],
        model=names.model,
        method=names.method,
        seed=names.seed,
        draw=names.draw,
        metrics=metrics,
        settings=settings,
        provenance=provenance,
        curve={"method": run["method"], **curves.thinned(run["history"])} if run and run["history"] else None,
        inputs=identity.inputs(files),
    ).save(target)


def arrays(
    target: Path, found: dict[str, np.ndarray], data: Mapping[str, Any], files: Files, **more: Any
) -> None:
    """Write what a figure shows, images or curves; more: for its metadata."""
    names = identity.names(target)
    known = {key: data[key] for key in ("variant", "title")} | {"dataset": names.dataset, "seed": names.seed}
    storage.write_tensors(target, found, known | {"inputs": identity.inputs(files)} | more)
