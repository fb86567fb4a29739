"""Train a model, on the originals or an augmented set. It makes the checkpoints of all experiments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from uae import augmentation, checkpoints, identity, models, records, seeding, storage, training, upstream
from uae.attacks import AttackResult
from uae.data import catalogue, prepared
from uae.errors import ConfigError, InputError
from uae.methods import Method
from uae.stages import Progress, use
from uae.stages.resume import TRAINING, resuming, written
from uae.training import robust


def run(
    target: Path,
    *,
    data: Path,
    uae: Sequence[Path] = (),
    published: Path | None = None,
    settings: dict[str, Any],
    device: str = "cpu",
    progress: Progress | None = None,
) -> None:
    """Train a model and write its checkpoint `target`. The path states the method, the seed and the draw.

    uae: the sets that the method adds to the originals.  settings: `network`, `arguments`, and the settings
    of the training, see `_fit`.  published: a published model's file, which is converted instead of a
    training. `settings["checkpoint"]` names the model; if it is a path, the model is TRADES' for the data
    set.
    """
    use(device)
    clock, names = records.Clock(), identity.names(target)
    assert names.method is not None  # of a checkpoint
    source, method = prepared.load(data), Method(names.method)
    if len(uae) != len(method.attacks):
        raise InputError(
            f"{target}: {method.name} needs {len(method.attacks)} UAE sets "
            f"({', '.join(method.attacks) or 'none'}), got {len(uae)}"
        )
    x = source.unit("train").to(device)
    sets = {path: AttackResult.load(path) for path in uae}
    made_from = {data: source.metadata} | {path: result.metadata for path, result in sets.items()}
    metadata = {
        "network": settings["network"],
        "arguments": settings["arguments"],
        "shape": list(x.shape[1:]),
        "settings": settings,
        "method": method.name,
        "seed": names.seed,
        "draw": names.draw,
        "variant": source.metadata["variant"],
        "inputs": identity.inputs(made_from),
        "n_train": len(x),
    }
    for result in sets.values():  # after a second round, that of the UAEs that it added
        metadata["success_change"] = result.median_change(x.cpu())
    if published is not None:
        name = settings["checkpoint"]
        model, found = upstream.convert(
            published, name if name in catalogue.models() else f"trades-{names.dataset}"
        )
        metadata |= found | {"n_train": 0, "steps": 0, "history": []}
    else:
        kind, options = _fit(settings)
        inputs, targets = augmented(x, method, [r.adv for r in sets.values()], names.seed, names.draw)
        if kind in training.CLASSIFIERS:  # an example keeps its original's label
            labels = torch.from_numpy(source.y_train).long().to(device)
            targets = labels.repeat(len(inputs) // len(x))
        torch.manual_seed(seeding.derive(names.seed, "initialisation"))
        try:
            model = models.build(settings["network"], tuple(x.shape[1:]), **settings["arguments"]).to(device)
        except ValueError as error:
            raise ConfigError(f"the model {names.model} on {names.dataset}: {error}") from None
        history = training.FITS[kind](
            model,
            inputs,
            target=targets,
            **options,
            seed=names.seed,
            progress=progress and _noted(progress, options["epochs"]),
            **resuming(
                target,
                TRAINING,
                clock,
                [settings, method.name, names.seed, names.draw, device, source.metadata["sha256"]],
                [storage.digest(path) for path in uae],
            ),
        )
        steps = training.steps_per_epoch(
            len(inputs), options.get("batch_size"), settings.get("drop_last", False)
        )
        metadata |= {"steps": len(history) * steps, "history": history}
    metadata["provenance"] = clock.provenance(settings, records.device_name(device)).model_dump()
    checkpoints.save(target, model, metadata)
    written(target)


def _fit(settings: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The function of `training.FITS` for the settings, and its options.

    Robust models have their options in `fit` and `adversary`. For all other models the options are beside
    `network`; without a key `training` the model is a classifier.
    """
    if "fit" in settings:
        if settings["adversary"] is None:
            return "classifier", settings["fit"]
        return "robust", settings["fit"] | {"adversary": robust.Adversary(**settings["adversary"])}
    options = {key: value for key, value in settings.items() if key not in ("network", "arguments")}
    return options.pop("training", "classifier"), {"batch_size": None} | options


def augmented(
    x: Tensor, method: Method, sets: list[Tensor], seed: int, draw: int | None
) -> tuple[Tensor, Tensor | None]:
    """The training set of a model, and its targets if they differ from the inputs."""
    if method.name == "original":
        return x, None
    if method.sigma is not None:
        return augmentation.augmented(x, augmentation.gaussian(x, method.sigma, seed, draw or 0)), None
    extra = sets or [x] * method.rounds
    targets = augmentation.augmented(x, *[x] * len(extra)) if method.clean_target else None
    return augmentation.augmented(x, *extra), targets


def _noted(progress: Progress, epochs: int) -> Callable[[int, float], None]:
    def note(done: int, loss: float) -> None:
        total = epochs
        while total < done:  # each further try of a concrete autoencoder takes twice the epochs
            total = 2 * total + epochs
        progress(done, total, f"epochs, loss {loss:.5f}")

    return note
