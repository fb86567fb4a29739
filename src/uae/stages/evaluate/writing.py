"""Write records and the data of figures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from uae import curves, identity, records, storage

Files = Mapping[Path, Mapping[str, Any]]  # by file, the metadata of a measured model or set


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
    """Write a record. Its path names the measured model. data: the metadata of the data set.

    experiment: the name, if it differs from the folder's.  run: the metadata of the checkpoint whose training
    curve the record keeps.
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
    """Write a figure's images or curves. more: additional metadata."""
    names = identity.names(target)
    known = {key: data[key] for key in ("variant", "title")} | {"dataset": names.dataset, "seed": names.seed}
    storage.write_tensors(target, found, known | {"inputs": identity.inputs(files)} | more)
