"""Attack training samples of a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from uae import checkpoints, identity, records
from uae.attacks import MinMaxAttack
from uae.data import prepared
from uae.losses import Contrastive, Reconstruction
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


def loss_from(settings: dict[str, Any], model: nn.Module, seed: int) -> Reconstruction | Contrastive:
    """What the attack must not raise: the reconstruction error, or SimCLR's loss with its settings."""
    if "loss" in settings:
        return Contrastive(model, seed=seed, **settings["loss"])
    return Reconstruction(model, squared=settings["squared"])


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
    """Attack every training sample of a model; a UAE set for each attack.

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
            loss_from(settings, model, seed),
            x,
            seed=seed,
            progress=progress and _noted(progress, name),
            **resuming_attack(target, clock, source.metadata["sha256"], checkpoint, settings, seed, device),
        )
        result.metadata |= ({"loss": settings["loss"]} if "loss" in settings else {}) | {
            "inputs": made_from,
            "variant": source.metadata["variant"],
            "provenance": clock.provenance(settings, records.device_name(device)).model_dump(),
        }
        result.save(target)
        written(target)


def _noted(progress: Progress, name: str):
    return lambda done, total: progress(done, total, f"samples, {name}")
