"""Attack every training sample of a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from uae import checkpoints, records
from uae.attacks import MinMaxAttack
from uae.data import prepared
from uae.losses import Reconstruction
from uae.mine import MINE
from uae.sampling import ConvolutionOutput, RandomSampling
from uae.stages import Progress, use


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
    target: Path,
    *,
    settings: dict[str, Any],
    seed: int,
    device: str = "cpu",
    progress: Progress | None = None,
) -> None:
    """Attack every training sample of an autoencoder and write the UAE set."""
    use(device)
    clock = records.Clock()
    source = prepared.load(data)
    model, _ = checkpoints.load(checkpoint, device)
    result = attack_from(settings)(
        Reconstruction(model, squared=settings["squared"]),
        source.unit("train").to(device),
        seed=seed,
        progress=progress and (lambda done, total: progress(done, total, "samples")),
    )
    result.metadata |= {
        "checkpoint": checkpoints.digest(checkpoint),
        "variant": source.metadata["variant"],
        "provenance": clock.provenance(settings, records.device_name(device)).model_dump(),
    }
    result.save(target)
