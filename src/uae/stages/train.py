"""Train a model, on the originals or on an augmented set."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import torch

from uae import augment, checkpoints, models, records, seeding
from uae.attacks import AttackResult
from uae.data import prepared
from uae.stages import Progress, use
from uae.training import autoencoder


def _code() -> list[str]:
    """Checksums of the code that trains: a state left by other code is not resumed."""
    folders = (models, autoencoder)
    files = [path for module in folders for path in sorted(Path(module.__file__).parent.glob("*.py"))]
    return [checkpoints.digest(path) for path in files]


def train(
    data: Path,
    target: Path,
    *,
    settings: dict[str, Any],
    method: str,
    seed: int,
    sigma: float | None = None,
    draw: int | None = None,
    uae: Path | None = None,
    device: str = "cpu",
    progress: Progress | None = None,
) -> None:
    """Train an autoencoder on the originals alone (`original`) or on an augmented set.

    The extra samples are those of the UAE set `uae`, Gaussian noise of standard deviation `sigma`, or
    the originals once more (`matched`).
    """
    use(device)
    clock = records.Clock()
    source = prepared.load(data)
    x = source.unit("train").to(device)
    n_train = len(x)
    if uae is not None:
        x = augment.augmented(x, AttackResult.load(uae).adv)
    elif sigma is not None:
        x = augment.augmented(x, augment.gaussian(x, sigma, seed, draw or 0))
    elif method == "matched":
        x = augment.augmented(x, x)

    fitting = dict(settings)
    network, arguments, epochs = (fitting.pop(key) for key in ("network", "arguments", "epochs"))
    torch.manual_seed(seeding.derive(seed, "initialisation"))
    model = models.build(network, tuple(x.shape[1:]), **arguments).to(device)
    inputs = [settings, method, seed, draw, source.metadata["sha256"], uae and checkpoints.digest(uae)]
    tag = hashlib.sha256(json.dumps([inputs, _code()]).encode()).hexdigest()
    resume = target.with_suffix(".partial")
    history = autoencoder.fit(
        model,
        x,
        **fitting,
        epochs=epochs,
        seed=seed,
        resume=resume,
        tag=tag,
        progress=progress and (lambda done, loss: progress(done, epochs, f"loss {loss:.5f}")),
    )
    metadata = {
        "network": network,
        "arguments": arguments,
        "shape": list(x.shape[1:]),
        "settings": settings,
        "method": method,
        "sigma": sigma,
        "seed": seed,
        "draw": draw,
        "variant": source.metadata["variant"],
        "n_train": n_train,
        "steps": epochs * math.ceil(len(x) / settings["batch_size"]),
        "history": history,
        "provenance": clock.provenance(settings, records.device_name(device)).model_dump(),
    }
    checkpoints.save(target, model, metadata)
    resume.unlink(missing_ok=True)
