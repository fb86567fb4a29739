"""Attack a model. It makes the sets of examples of all experiments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from uae import checkpoints, identity, records, seeding
from uae.attacks import PGD, AttackResult, MinMaxAttack, PenaltyAttack
from uae.data import prepared
from uae.evaluation import robustness
from uae.losses import Contrastive, CrossEntropy, Margin, Reconstruction
from uae.mine import MINE
from uae.sampling import ConvolutionOutput, RandomSampling
from uae.stages import Progress, use
from uae.stages.resume import resuming_attack, written


def run(
    target: Path,
    *,
    data: Path,
    checkpoint: Path,
    settings: dict[str, Any],
    device: str = "cpu",
    progress: Progress | None = None,
) -> None:
    """Write the set of examples `target`. Its path states the seed and the draw.

    settings: those of `Config.attacking`, or, with a key `images`, those of `plan.classifiers`. The former
    attack every training sample of a model that was trained without labels. The latter attack `images` test
    images that a classifier classifies correctly, the same images in every set.
    """
    use(device)
    clock, names = records.Clock(), identity.names(target)
    source = prepared.load(data)
    model, trained = checkpoints.load(checkpoint, device)
    known = {
        "inputs": identity.inputs({data: source.metadata, checkpoint: trained}),
        "variant": source.metadata["variant"],
    }
    options: dict[str, Any] = {
        "seed": names.seed,
        "progress": (lambda done, total: progress(done, total, "samples")) if progress else None,
        **resuming_attack(
            target, clock, source.metadata["sha256"], checkpoint, settings, names.seed, names.draw, device
        ),
    }
    if "images" in settings:
        if names.draw is not None:  # each draw of random sampling has other matrices
            options["seed"] = seeding.derive(names.seed, f"draw/{names.draw}")
        result = _classifier(target, model, source, settings, options, known)
    else:
        x = source.unit("train").to(device)
        result = attack_from(settings)(_loss(settings, model, names.seed), x, **options)
        known |= {"loss": settings["loss"]} if "loss" in settings else {}
    provenance = clock.provenance(settings, records.device_name(device)).model_dump()
    result.metadata |= known | {"provenance": provenance}
    result.save(target)
    written(target)


def _loss(settings: dict[str, Any], model: nn.Module, seed: int) -> Reconstruction | Contrastive:
    """The loss that the attack must not raise: the reconstruction error, or SimCLR's loss."""
    if "loss" in settings:
        return Contrastive(model, seed=seed, **settings["loss"])
    return Reconstruction(model, squared=settings["squared"])


def attack_from(settings: dict[str, Any]) -> MinMaxAttack:
    """The attack with the settings of `Config.attacking`."""
    mine = None
    if settings["mine"] is not None:
        mine = MINE(**settings["mine"], samples=_samples(settings))
    return MinMaxAttack(**settings["attack"], mi=mine)


def _samples(settings: dict[str, Any]) -> RandomSampling | ConvolutionOutput:
    """The sampler: how MINE gets its compressed samples."""
    if sampling := settings.get("random_sampling"):
        return RandomSampling(**sampling)
    return ConvolutionOutput(settings.get("layer"))


def _classifier(
    target: Path,
    model: nn.Module,
    source: prepared.Prepared,
    settings: dict[str, Any],
    options: dict[str, Any],
    known: dict[str, Any],
) -> AttackResult:
    """Attack a classifier, untargeted. Adds the settings and the number of compressed samples to `known`."""
    device = next(model.parameters()).device
    x, y = source.unit("test").to(device), torch.from_numpy(source.y_test).long().to(device)
    seed = identity.names(target).seed
    rows = robustness.attacked(model, x, y, settings["images"], seed)
    known["settings"] = settings
    known["count"] = _samples(settings).bind(model, x[:1], seed).compute(x[:1], 0).shape[1]
    result = _untargeted(model, x[rows], y[rows], settings, options | {"index": rows})
    outside = (result.adv - x[rows]).abs().max().item() - settings["settings"]["eps"]
    if outside > 1e-6 or not 0 <= result.adv.min() <= result.adv.max() <= 1:
        raise RuntimeError(f"{target}: an example is outside its bounds, by {outside:g} of eps")
    return result


def _untargeted(
    model: nn.Module, x: Tensor, y: Tensor, settings: dict[str, Any], options: dict[str, Any]
) -> AttackResult:
    if settings["attack"] == "pgd":
        short = {key: value for key, value in options.items() if key not in ("resume", "tag")}
        return PGD(**settings["settings"])(CrossEntropy(model, y), x, **short)
    mine = MINE(**settings["mine"], samples=_samples(settings))
    kind = {"minmax": MinMaxAttack, "penalty": PenaltyAttack}[settings["attack"]]
    attack = kind(**settings["settings"], maximize_mi=True, mi=mine)
    result = attack(Margin(model, y), x, **options, trace=settings.get("trace", False))
    result.stationarity = None  # Theorem 1's figure has a separate attack
    return result
