"""Theorem 1's measure along a long attack."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from uae import checkpoints, identity, records, storage
from uae.data import prepared
from uae.evaluation.stationarity import best_so_far, slope
from uae.losses import Reconstruction
from uae.stages import Progress, use
from uae.stages.attack import attack_from
from uae.stages.evaluate import writing


def theorem1(target: Path, **job: Any) -> None:
    """The curve of an attack, or the record with its slope."""
    (_record if target.suffix == ".json" else _curve)(target, **job)


def _curve(
    target: Path,
    *,
    data: Path,
    checkpoint: Path,
    settings: dict[str, Any],
    device: str = "cpu",
    progress: Progress | None = None,
) -> None:
    """||L(delta_t, c_t)||^2 of Theorem 1 along an attack on the first training samples, float32 (N, T).

    settings: `attack`, of `Config.attacking`, and its number of `samples` and `steps`.
    """
    use(device)
    clock, names = records.Clock(), identity.names(target)
    source = prepared.load(data)
    model, run = checkpoints.load(checkpoint, device)
    attack = settings["attack"]
    result = dataclasses.replace(attack_from(attack), steps=settings["steps"])(
        Reconstruction(model, squared=attack["squared"]),
        source.unit("train")[: settings["samples"]].to(device),
        seed=names.seed,
        trace=True,
        progress=progress and (lambda done, total: progress(done, total, "samples")),
    )
    writing.arrays(
        target,
        {"stationarity": result.stationarity.cpu().numpy()},
        source.metadata,
        {data: source.metadata, checkpoint: run},
        model=names.model,
        method=names.method,
        attack=result.metadata["attack"],
        training=run["provenance"],
        provenance=clock.provenance(attack, records.device_name(device)).model_dump(),
    )


def _record(
    target: Path,
    *,
    along: Path,
    settings: dict[str, Any],
    device: str = "cpu",
    progress: Progress | None = None,
) -> None:
    arrays, found = storage.read_tensors(along, "stationarity")
    curve = arrays["stationarity"]
    writing.record(
        target,
        data=found,
        metrics={
            "slope": slope(best_so_far(curve).mean(0)),
            "n_attacked": len(curve),
            "attack_steps": curve.shape[1],
        },
        settings={"attack": found["attack"]},
        provenance={"training": found["training"], "attack": found["provenance"]},
        files={along: found},
    )
