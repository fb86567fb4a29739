"""Measure autoencoders, for Tables 4 to 6, 8 and 9, and select Figure 5's images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from uae import augmentation, checkpoints, identity, records
from uae.attacks import AttackResult
from uae.data import prepared
from uae.evaluation import reconstruction as measures
from uae.evaluation import representation
from uae.methods import Method
from uae.models.concrete import Concrete
from uae.stages import Progress, use
from uae.stages.evaluate import writing


def reconstruction(
    target: Path,
    *,
    data: Path,
    checkpoint: Path,
    original: Path,
    parents: Sequence[Path] = (),
    uae: Sequence[Path] = (),
    settings: dict[str, Any],
    device: str = "cpu",
    progress: Progress | None = None,
) -> None:
    """Write the record of one model.

    original: the row's first model; an augmentation's success rate is measured on it.  uae: the sets that the
    model was trained with.  parents: the models that these sets attack.
    """
    use(device)
    clock, names = records.Clock(), identity.names(target)
    assert names.method is not None  # of a record
    source, method = prepared.load(data), Method(names.method)
    x_train, x_test = source.unit("train").to(device), source.unit("test").to(device)
    models = {
        path: checkpoints.load(path, device) for path in dict.fromkeys([original, *parents, checkpoint])
    }
    model, run = models[checkpoint]
    sets = {path: AttackResult.load(path) for path in uae}
    files = {data: source.metadata} | {path: metadata for path, (_, metadata) in models.items()}
    files |= {path: result.metadata for path, result in sets.items()}
    metrics = {
        "test_error": measures.error(model, x_test),
        "train_error": measures.error(model, x_train),
        "epochs": len(run["history"]),
        "steps": run["steps"],
        "n_train": run["n_train"],
        "n_test": len(x_test),
    }
    if isinstance(model, Concrete):
        metrics |= _representation(model, source, names.seed)
    provenance, used = {"training": run["provenance"]}, run["settings"]
    if sets:  # after a second round, only the UAEs that it added
        result = list(sets.values())[-1]
        provenance["attack"] = result.metadata["provenance"]
        used = used | {"attack": result.metadata["attack"]}
        metrics |= describe(result, x_train.cpu())
    elif method.sigma is not None:
        noisy = augmentation.gaussian(x_train, method.sigma, names.seed, names.draw or 0)
        metrics["asr"] = measures.success_rate(models[original][0], x_train, noisy)
    provenance["evaluation"] = clock.provenance(run["settings"], records.device_name(device))
    writing.record(
        target,
        data=source.metadata,
        metrics=metrics,
        settings=used,
        provenance=provenance,
        files=files,
        run=run,
    )


def _representation(model: Concrete, source: prepared.Prepared, seed: int) -> dict[str, float]:
    """The accuracy of the selected features and the number of distinct ones (Table 6)."""
    features = model.features.cpu().numpy()
    x_train, x_test = (source.unit(part).numpy() for part in ("train", "test"))
    split = (x_train, source.y_train, x_test, source.y_test)
    return {
        "accuracy": representation.accuracy(features, *split, seed=seed),
        "accuracy_one_hot": representation.accuracy(features, *split, seed=seed, one_hot=True),
        "certainty": model.certainty,
        "features": len(features),
        "distinct_features": len(set(features.tolist())),
    }


def describe(result: AttackResult, x: torch.Tensor) -> dict[str, float]:
    """The ASR, the median change of the successes, and their mean step, MI and perturbation."""
    means = result.means(x)
    return {"asr": result.success_rate, "success_change": result.median_change(x)} | means


def figure5(
    target: Path,
    *,
    data: Path,
    checkpoint: Path,
    uae: Path,
    settings: dict[str, Any],
    device: str = "cpu",
    progress: Progress | None = None,
    count: int = 10,
) -> None:
    """Select the `count` successful UAEs with the largest perturbation (appendix B.2).

    Writes original, uae and their reconstructions by the original model, float32 (n, C, H, W).
    """
    use(device)
    source = prepared.load(data)
    x, result = source.unit("train"), AttackResult.load(uae)
    norms = (result.adv - x).flatten(1).norm(dim=1)
    rows = torch.where(result.success, norms, -1).argsort(descending=True, stable=True)
    rows = rows[: min(count, int(result.success.sum()))]
    model, run = checkpoints.load(checkpoint, device)
    images = {"original": x[rows], "uae": result.adv[rows]}
    images |= {
        f"{name}_reconstruction": measures.reconstruct(model, image.to(device)).cpu()
        for name, image in images.items()
    }
    arrays: dict[str, np.ndarray] = {name: image.numpy() for name, image in images.items()}
    arrays |= {"index": rows.numpy(), "norm": norms[rows].numpy(), "mi": result.mi[rows].numpy()}
    files = {data: source.metadata, checkpoint: run, uae: result.metadata}
    names = identity.names(target)
    writing.arrays(target, arrays, source.metadata, files, method=names.method, asr=result.success_rate)
