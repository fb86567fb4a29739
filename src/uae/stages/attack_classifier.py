"""Attack a classifier of the supervised experiments (sections 3.1, 5.2 and 5.3)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from uae import checkpoints, identity, records, seeding
from uae.attacks import PGD, AttackResult, MinMaxAttack, PenaltyAttack
from uae.data import prepared
from uae.evaluation import robustness
from uae.losses import CrossEntropy, Margin
from uae.mine import MINE
from uae.sampling import ConvolutionOutput, RandomSampling
from uae.stages import Progress, use
from uae.stages.resume import resuming_attack, written


def attack(
    data: Path,
    checkpoint: Path,
    folder: Path,
    *,
    sets: list[dict[str, Any]],
    seed: int,
    device: str = "cpu",
    progress: Progress | None = None,
) -> None:
    """Attack correctly classified test images, untargeted; an example set for each of `sets`.

    sets: `name`, `draw` and the `settings` of a `config.supervised.AttackSet`. Writes
    <folder>/<name>/seed<k>[-draw<d>].safetensors. The same images are taken for every set, as many as it
    asks for.
    """
    use(device)
    source = prepared.load(data)
    model, trained = checkpoints.load(checkpoint, device)
    made_from = identity.inputs({data: source.metadata, checkpoint: trained})
    x, y = source.unit("test").to(device), torch.from_numpy(source.y_test).long().to(device)
    most = max(entry["settings"]["images"] for entry in sets)
    attacked = robustness.attacked(model, x, y, most, seed)
    for entry in sets:
        clock = records.Clock()
        settings, draw = entry["settings"], entry["draw"]
        rows = attacked[: settings["images"]]
        target = records.path(folder, entry["name"], seed, draw, ".safetensors")
        count = _samples(settings).bind(model, x[:1], seed).compute(x[:1], 0).shape[1]
        result = run(
            model,
            x[rows],
            y[rows],
            settings,
            # A draw of random sampling has its own matrices.
            seed=seed if draw is None else seeding.derive(seed, f"draw/{draw}"),
            index=rows,
            progress=progress and _noted(progress, entry["name"]),
            **resuming_attack(target, clock, source.metadata["sha256"], checkpoint, entry, seed, device),
        )
        outside = (result.adv - x[rows]).abs().max().item() - settings["settings"]["eps"]
        if outside > 1e-6 or not 0 <= result.adv.min() <= result.adv.max() <= 1:
            raise RuntimeError(f"{entry['name']}: an example is outside its bounds, by {outside:g} of eps")
        result.metadata |= {
            "inputs": made_from,
            "variant": source.metadata["variant"],
            "settings": settings,
            "count": count,
            "provenance": clock.provenance(settings, records.device_name(device)).model_dump(),
        }
        result.save(target)
        written(target)


def run(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    settings: dict[str, Any],
    *,
    seed: int,
    index: Tensor,
    progress: Callable[[int, int], None] | None,
    **resume: Any,
) -> AttackResult:
    """One untargeted attack; settings: of an `AttackSet`. A long one is resumed, see `ConstrainedAttack`."""
    common = {"seed": seed, "index": index, "progress": progress}
    if settings["attack"] == "pgd":
        return PGD(**settings["settings"])(CrossEntropy(model, y), x, **common)
    mine = MINE(**settings["mine"], samples=_samples(settings))
    kind = {"minmax": MinMaxAttack, "penalty": PenaltyAttack}[settings["attack"]]
    result = kind(**settings["settings"], maximize_mi=True, mi=mine)(
        Margin(model, y), x, **common, **resume, trace=settings.get("trace", False)
    )
    result.stationarity = None  # Theorem 1's figure has its own attack
    return result


def _samples(settings: dict[str, Any]) -> RandomSampling | ConvolutionOutput:
    """What MINE sees."""
    if sampling := settings.get("random_sampling"):
        return RandomSampling(**sampling)
    return ConvolutionOutput(settings.get("layer"))


def _noted(progress: Progress, name: str):
    return lambda done, total: progress(done, total, f"images, {name}")
