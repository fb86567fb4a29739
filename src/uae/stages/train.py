"""Train models, on the originals or on augmented sets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from uae import augment, checkpoints, identity, models, records, seeding, storage, training
from uae.attacks import AttackResult
from uae.data import prepared
from uae.errors import InputError
from uae.methods import Method
from uae.stages import Progress, use
from uae.stages.resume import TRAINING, resuming, written


def train(
    data: Path,
    folder: Path,
    *,
    runs: list[dict[str, Any]],
    uae: Path | None = None,
    seed: int = 0,
    device: str = "cpu",
    progress: Progress | None = None,
) -> None:
    """Train the models of one row and seed from the same first weights, one after the other.

    runs: `method`, `settings` of `Config.training` and, for Gaussian augmentation, `draw`. Writes
    <folder>/<method>/seed<k>[-draw<d>].safetensors for each. uae: the folder of the row's UAE sets.
    """
    use(device)
    source = prepared.load(data)
    x = source.unit("train").to(device)
    for run in runs:
        clock = records.Clock()
        method, draw, settings = Method(run["method"]), run.get("draw"), run["settings"]
        target = records.path(folder, method.name, seed, draw, ".safetensors")
        if method.attacks and uae is None:
            raise InputError(f"{method.name}: needs the folder of the UAE sets ({', '.join(method.attacks)})")
        sets = [records.path(uae, name, seed, None, ".safetensors") for name in method.attacks]
        loaded = {path: AttackResult.load(path) for path in sets}
        made_from = identity.inputs({data: source.metadata} | {p: r.metadata for p, r in loaded.items()})
        inputs, outputs = augmented(x, method, [result.adv for result in loaded.values()], seed, draw)

        fitting = {"batch_size": None} | settings
        network, kind, arguments, epochs = (
            fitting.pop(key) for key in ("network", "training", "arguments", "epochs")
        )
        torch.manual_seed(seeding.derive(seed, "initialisation"))
        model = models.build(network, tuple(x.shape[1:]), **arguments).to(device)
        history = training.FITS[kind](
            model,
            inputs,
            target=outputs,
            **fitting,
            epochs=epochs,
            seed=seed,
            progress=progress and _noted(progress, epochs, method.name),
            **resuming(
                target,
                TRAINING,
                clock,
                [settings, method.name, seed, draw, device, source.metadata["sha256"]],
                [storage.digest(path) for path in sets],
            ),
        )
        metadata = {
            "network": network,
            "arguments": arguments,
            "shape": list(x.shape[1:]),
            "settings": settings,
            "method": method.name,
            "seed": seed,
            "draw": draw,
            "variant": source.metadata["variant"],
            "inputs": made_from,
            "n_train": len(x),
            "steps": len(history)
            * training.steps_per_epoch(
                len(inputs), settings.get("batch_size"), settings.get("drop_last", False)
            ),
            "history": history,
            "provenance": clock.provenance(settings, records.device_name(device)).model_dump(),
        }
        checkpoints.save(target, model, metadata)
        written(target)


def augmented(
    x: Tensor, method: Method, sets: list[Tensor], seed: int, draw: int | None
) -> tuple[Tensor, Tensor | None]:
    """What a model is trained on, and its targets where they are not the inputs themselves."""
    if method.name == "original":
        return x, None
    if method.sigma is not None:
        return augment.augmented(x, augment.gaussian(x, method.sigma, seed, draw or 0)), None
    extra = sets or [x] * method.rounds
    targets = augment.augmented(x, *[x] * len(extra)) if method.clean_target else None
    return augment.augmented(x, *extra), targets


def _noted(progress: Progress, epochs: int, method: str):
    return lambda done, loss: progress(done, max(epochs, done), f"{method}: loss {loss:.5f}")
