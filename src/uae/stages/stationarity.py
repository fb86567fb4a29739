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
from uae.stages.generate import attack_from


def stationarity(
    data: Path,
    checkpoint: Path,
    target: Path,
    *,
    settings: dict[str, Any],
    samples: int,
    steps: int,
    dataset: str,
    model_name: str,
    method: str,
    seed: int,
    device: str = "cpu",
    progress: Progress | None = None,
) -> None:
    """||L(delta_t, c_t)||^2 of Theorem 1 along the attack, for the first training samples.

    Writes `stationarity`, float32 (samples, steps), to `target`, and a record with the fitted slope beside
    it.
    """
    use(device)
    clock = records.Clock()
    source = prepared.load(data)
    model, run = checkpoints.load(checkpoint, device)
    result = dataclasses.replace(attack_from(settings), steps=steps)(
        Reconstruction(model, squared=settings["squared"]),
        source.unit("train")[:samples].to(device),
        seed=seed,
        trace=True,
        progress=progress and (lambda done, total: progress(done, total, "samples, stationarity")),
    )
    along = result.stationarity.cpu().numpy()
    names = {"dataset": dataset, "model": model_name, "method": method, "seed": seed}
    known = names | {key: source.metadata[key] for key in ("variant", "title")}
    made_from = identity.inputs({data: source.metadata, checkpoint: run})
    storage.write_tensors(target, {"stationarity": along}, known | {"inputs": made_from})
    metrics = {"slope": slope(best_so_far(along).mean(0)), "n_attacked": len(along), "attack_steps": steps}
    record = records.Record(
        experiment="theorem1",
        **known,
        metrics=metrics,
        settings={"attack": result.metadata["attack"]},
        provenance={
            "training": run["provenance"],
            "attack": clock.provenance(settings, records.device_name(device)),
        },
        inputs=made_from,
    )
    record.save(target.with_suffix(".json"))
