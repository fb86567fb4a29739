"""Train a classifier of the supervised experiments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from uae import checkpoints, identity, models, records, seeding
from uae.data import prepared
from uae.stages import Progress, use
from uae.stages.resume import TRAINING, resuming, written
from uae.training import classifier, steps_per_epoch


def train(
    data: Path,
    target: Path,
    *,
    settings: dict[str, Any],
    seed: int,
    device: str = "cpu",
    progress: Progress | None = None,
) -> None:
    """Train a classifier from scratch; settings: of `Supervised.classifier`."""
    use(device)
    clock = records.Clock()
    source = prepared.load(data)
    x, y = source.unit("train").to(device), torch.from_numpy(source.y_train).long().to(device)
    fitting = dict(settings)
    network, arguments, epochs = (fitting.pop(key) for key in ("network", "arguments", "epochs"))
    torch.manual_seed(seeding.derive(seed, "initialisation"))
    model = models.build(network, tuple(x.shape[1:]), **arguments).to(device)
    history = classifier.fit(
        model,
        x.contiguous(memory_format=torch.channels_last),
        y,
        **fitting,
        epochs=epochs,
        seed=seed,
        progress=progress and (lambda done, loss: progress(done, epochs, f"epochs, loss {loss:.4f}")),
        **resuming(target, TRAINING, clock, settings, seed, device, source.metadata["sha256"]),
    )
    metadata = {
        "network": network,
        "arguments": arguments,
        "shape": list(x.shape[1:]),
        "settings": settings,
        "method": "original",
        "seed": seed,
        "draw": None,
        "variant": source.metadata["variant"],
        "inputs": identity.inputs({data: source.metadata}),
        "n_train": len(x),
        "steps": len(history) * steps_per_epoch(len(x), settings["batch_size"]),
        "history": history,
        "provenance": clock.provenance(settings, records.device_name(device)).model_dump(),
    }
    checkpoints.save(target, model, metadata)
    written(target)
