"""Attack training samples of a model."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from uae import checkpoints, identity, records, storage
from uae.attacks import MinMaxAttack
from uae.data import prepared
from uae.evaluation.stationarity import best_so_far, slope
from uae.losses import Reconstruction
from uae.mine import MINE
from uae.sampling import ConvolutionOutput, RandomSampling
from uae.stages import Progress, use
from uae.stages.resume import resuming_attack, written


def attack_from(settings: dict[str, Any]) -> MinMaxAttack:
    """The attack that the settings of `Config.attacking` describe."""
    mine = None
    if settings["mine"] is not None:
        if "layer" in settings:
            samples = ConvolutionOutput(settings["layer"])
        else:
            samples = RandomSampling(**settings["random_sampling"])
        mine = MINE(**settings["mine"], samples=samples)
    return MinMaxAttack(**settings["attack"], mi=mine)


def generate(
    data: Path,
    checkpoint: Path,
    folder: Path,
    *,
    attacks: dict[str, dict[str, Any]],
    seed: int,
    device: str = "cpu",
    progress: Progress | None = None,
) -> None:
    """Attack every training sample of an autoencoder; a UAE set for each attack.

    attacks: settings of `Config.attacking` by name. Writes <folder>/<name>/seed<k>.safetensors.
    """
    use(device)
    source = prepared.load(data)
    model, trained = checkpoints.load(checkpoint, device)
    made_from = identity.inputs({data: source.metadata, checkpoint: trained})
    x = source.unit("train").to(device)
    for name, settings in attacks.items():
        clock = records.Clock()
        target = records.path(folder, name, seed, None, ".safetensors")
        result = attack_from(settings)(
            Reconstruction(model, squared=settings["squared"]),
            x,
            seed=seed,
            progress=progress and _noted(progress, name),
            **resuming_attack(target, clock, source.metadata["sha256"], checkpoint, settings, seed, device),
        )
        result.metadata |= {
            "inputs": made_from,
            "variant": source.metadata["variant"],
            "provenance": clock.provenance(settings, records.device_name(device)).model_dump(),
        }
        result.save(target)
        written(target)


def _noted(progress: Progress, name: str):
    return lambda done, total: progress(done, total, f"samples, {name}")


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
        progress=progress and _noted(progress, "stationarity"),
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
