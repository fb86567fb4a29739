"""Measure checkpoints: records, and the images of Figure 5."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from torch import nn

from uae import augment, checkpoints, identity, records, storage
from uae.attacks import AttackResult
from uae.data import prepared
from uae.evaluation import reconstruction, representation
from uae.methods import Method
from uae.stages import use


def evaluate(
    data: Path,
    paths: list[Path],
    folder: Path,
    *,
    uae: Path,
    dataset: str,
    model: str,
    device: str = "cpu",
) -> None:
    """Measure the checkpoints of one row and seed; the first is the original.

    Writes one record for each under `folder` (see `records.path`). uae: the folder of the row's UAE sets.
    dataset, model: the row's names.
    """
    use(device)
    source = prepared.load(data)
    x_train, x_test = source.unit("train").to(device), source.unit("test").to(device)
    original, first = checkpoints.load(paths[0], device)
    seen = {paths[0]: first}
    for path in paths:
        clock = records.Clock()
        trained, run = checkpoints.load(path, device)
        seen[path] = run
        method, seed, draw = Method(run["method"]), run["seed"], run["draw"]
        metrics = {
            "test_error": reconstruction.error(trained, x_test),
            "train_error": reconstruction.error(trained, x_train),
            "epochs": len(run["history"]),
            "steps": run["steps"],
            "n_train": run["n_train"],
            "n_test": len(x_test),
        }
        if run["network"] == "concrete":
            metrics |= _representation(trained, source, seed)
        provenance, settings = {"training": run["provenance"]}, run["settings"]
        sets = [records.path(uae, name, seed, None, ".safetensors") for name in method.attacks]
        loaded = {path: AttackResult.load(path) for path in sets}
        made_from = {data: source.metadata, paths[0]: first, path: run}
        made_from |= {p: r for p, r in seen.items() if r.get("file") in run.get("inputs", {})}
        made_from |= {p: result.metadata for p, result in loaded.items()}
        if sets:  # of a second round, the UAEs that it added
            result = loaded[sets[-1]]
            provenance["attack"] = result.metadata["provenance"]
            settings = settings | {"attack": result.metadata["attack"]}
            metrics |= describe(result, x_train.cpu())
        elif method.sigma is not None:
            noisy = augment.gaussian(x_train, method.sigma, seed, draw or 0)
            metrics["asr"] = reconstruction.success_rate(original, x_train, noisy)
        provenance["evaluation"] = clock.provenance(run["settings"], records.device_name(device))
        record = records.Record(
            experiment="reconstruction",
            dataset=dataset,
            variant=source.metadata["variant"],
            title=source.metadata["title"],
            model=model,
            method=method.name,
            seed=seed,
            draw=draw,
            metrics=metrics,
            settings=settings,
            provenance=provenance,
            inputs=identity.inputs(made_from),
        )
        record.save(records.path(folder, method.name, seed, draw))


def _representation(model: nn.Module, source: prepared.Prepared, seed: int) -> dict[str, float]:
    """How well the selected features classify (Table 6), and how many of them there are."""
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
    """ASR, the set's median change, and the mean step, MI and perturbation of the successes, if any."""
    change = (result.adv - x).flatten(1).double().square().mean(dim=1).sqrt()
    out = {"asr": result.success_rate, "median_change": change.median().item()}
    if result.success.any():
        out["step_mean"] = result.step[result.success].double().mean().item()
        norms = (result.adv - x).flatten(1).norm(dim=1)[result.success]
        out["l2_mean"] = norms.double().mean().item()
        mi = result.mi[result.success].double().mean().item()
        if math.isfinite(mi):
            out["mi_mean"] = mi
    return out


def examples(data: Path, checkpoint: Path, uae: Path, target: Path, *, method: str, count: int = 10) -> None:
    """Figure 5's images: the `count` successful UAEs with the largest perturbation (appendix B.2).

    Writes original, uae and their reconstructions by the original model, float32 (n, C, H, W).
    """
    source = prepared.load(data)
    x, result = source.unit("train"), AttackResult.load(uae)
    norms = (result.adv - x).flatten(1).norm(dim=1)
    rows = torch.where(result.success, norms, -1).argsort(descending=True, stable=True)
    rows = rows[: min(count, int(result.success.sum()))]
    model, run = checkpoints.load(checkpoint)
    made_from = identity.inputs({data: source.metadata, checkpoint: run, uae: result.metadata})
    images = {"original": x[rows], "uae": result.adv[rows]}
    images |= {
        f"{name}_reconstruction": reconstruction.reconstruct(model, image) for name, image in images.items()
    }
    arrays: dict[str, np.ndarray] = {name: image.numpy() for name, image in images.items()}
    arrays |= {"index": rows.numpy(), "norm": norms[rows].numpy(), "mi": result.mi[rows].numpy()}
    metadata = {key: source.metadata[key] for key in ("dataset", "variant", "title")}
    storage.write_tensors(
        target,
        arrays,
        metadata | {"method": method, "seed": run["seed"], "asr": result.success_rate, "inputs": made_from},
    )
