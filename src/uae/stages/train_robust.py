"""Train robust models, and classifiers beside them (appendices H.1 and I)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from uae import augment, checkpoints, identity, models, records, seeding, storage, upstream
from uae.attacks import AttackResult
from uae.data import prepared
from uae.errors import InputError
from uae.stages import Progress, use
from uae.stages.resume import TRAINING, resuming, written
from uae.training import classifier, robust, steps_per_epoch

Run = dict[str, Any]


def train(
    folder: Path,
    *,
    runs: list[Run],
    uae: Path | None = None,
    seed: int = 0,
    device: str = "cpu",
    progress: Progress | None = None,
) -> None:
    """Train classifiers, with or without an adversary, on the originals or on an augmented set.

    runs: `dataset`, `model`, `method`, `data` and the `settings` of `Robustness.training`.
    uae: the set for the runs with method `mine-uae`.
    Writes <folder>/<dataset>/<model>/<method>/seed<k>.safetensors for each. A run with a `checkpoint` in its
    settings is not trained: the published file is converted.
    """
    use(device)
    for run in runs:
        clock = records.Clock()
        settings, source = run["settings"], prepared.load(run["data"])
        target = records.path(
            folder / run["dataset"] / run["model"], run["method"], seed, None, ".safetensors"
        )
        x, y = source.unit("train").to(device), torch.from_numpy(source.y_train).long().to(device)
        examples = _examples(run, uae)
        made_from = {run["data"]: source.metadata} | ({uae: examples.metadata} if examples else {})
        metadata = {
            "network": settings["network"],
            "arguments": settings["arguments"],
            "shape": list(x.shape[1:]),
            "settings": settings,
            "method": run["method"],
            "seed": seed,
            "variant": source.metadata["variant"],
            "inputs": identity.inputs(made_from),
            "n_train": len(x),
        }
        if settings["checkpoint"]:
            model, found = upstream.convert(settings["checkpoint"], f"trades-{run['dataset']}")
            metadata |= found | {"n_train": 0, "steps": 0, "history": []}
        else:
            files = [source.metadata["sha256"], examples and storage.digest(uae)]
            model, history = _fitted(run, examples, x, y, seed, files, target, clock, progress)
            doubled = len(x) * (1 if run["method"] == "original" else 2)
            steps = len(history) * steps_per_epoch(doubled, settings["fit"]["batch_size"])
            metadata |= {"steps": steps, "history": history}
        metadata["provenance"] = clock.provenance(settings, records.device_name(device)).model_dump()
        checkpoints.save(target, model, metadata)
        written(target)


def _examples(run: Run, uae: Path | None) -> AttackResult | None:
    """The UAE set that a run is trained with."""
    if run["method"] != "mine-uae":
        return None
    if uae is None:
        raise InputError(f"{run['dataset']}/{run['model']}, mine-uae: needs a UAE set")
    return AttackResult.load(uae)


def _fitted(
    run: Run,
    examples: AttackResult | None,
    x: Tensor,
    y: Tensor,
    seed: int,
    files: list[str | None],
    target: Path,
    clock: records.Clock,
    progress: Progress | None,
) -> tuple[nn.Module, list[float]]:
    settings = run["settings"]
    if run["method"] != "original":
        extra = x if examples is None else examples.adv
        x, y = augment.augmented(x, extra), y.repeat(2)  # an example has the label of its original
    torch.manual_seed(seeding.derive(seed, "initialisation"))
    model = models.build(settings["network"], tuple(x.shape[1:]), **settings["arguments"]).to(x.device)
    epochs, name = settings["fit"]["epochs"], f"{run['dataset']}/{run['model']}/{run['method']}"
    options = settings["fit"] | {
        "seed": seed,
        "progress": progress and (lambda done, loss: progress(done, epochs, f"{name}: loss {loss:.4f}")),
    }
    options |= resuming(
        target,
        TRAINING,
        clock,
        settings,
        run["method"],
        seed,
        x.device.type,
        files,
    )
    if settings["adversary"] is None:
        return model, classifier.fit(model, x, y, **options)
    return model, robust.fit(model, x, y, adversary=robust.Adversary(**settings["adversary"]), **options)
