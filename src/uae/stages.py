"""The workflow's stages: files in, one file out (evaluation: a record a checkpoint).

The rules call them through `uae.cli`; they know nothing of Snakemake. `settings` is what
`uae.config.Config` gives a job.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from uae import augment, checkpoints, models, records, seeding, storage
from uae.attacks import AttackResult, MinMaxAttack
from uae.data import prepared
from uae.evaluation import reconstruction
from uae.losses import Reconstruction
from uae.mine import MINE
from uae.sampling import ConvolutionOutput, RandomSampling
from uae.training import autoencoder

Progress = Callable[[int, int, str], None]


def device_name(device: str) -> str:
    """What a record says of the device."""
    if device == "cuda":
        return torch.cuda.get_device_name()
    return f"CPU, {torch.get_num_threads()} threads"


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
    tag = json.dumps(
        [settings, method, seed, draw, source.metadata["sha256"], uae and checkpoints.digest(uae)]
    )
    resume = target.with_suffix(".partial")
    history = autoencoder.fit(
        model,
        x,
        **fitting,
        epochs=epochs,
        seed=seed,
        resume=resume,
        tag=hashlib.sha256(tag.encode()).hexdigest(),
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
        "provenance": clock.provenance(settings, device_name(device)).model_dump(),
    }
    checkpoints.save(target, model, metadata)
    resume.unlink(missing_ok=True)


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
        "provenance": clock.provenance(settings, device_name(device)).model_dump(),
    }
    result.save(target)


def evaluate(
    data: Path, paths: list[Path], folder: Path, *, uaes: dict[str, Path], model: str, device: str = "cpu"
) -> None:
    """Measure the checkpoints of one data set, model and seed; the first is the original.

    Writes one record for each under `folder` (see `records.path`). uaes: UAE sets by method.
    """
    source = prepared.load(data)
    x_train, x_test = source.unit("train").to(device), source.unit("test").to(device)
    original = checkpoints.load(paths[0], device)[0]
    for path in paths:
        clock = records.Clock()
        trained, run = checkpoints.load(path, device)
        method, seed, draw = run["method"], run["seed"], run["draw"]
        metrics = {
            "test_error": reconstruction.error(trained, x_test),
            "train_error": reconstruction.error(trained, x_train),
            "epochs": len(run["history"]),
            "steps": run["steps"],
            "n_train": run["n_train"],
            "n_test": len(x_test),
        }
        provenance, settings = {"training": run["provenance"]}, run["settings"]
        if method in uaes:
            result = AttackResult.load(uaes[method])
            provenance["attack"] = result.metadata["provenance"]
            settings = settings | {"attack": result.metadata["attack"]}
            metrics |= _describe(result, x_train.cpu())
        elif run["sigma"] is not None:
            noisy = augment.gaussian(x_train, run["sigma"], seed, draw or 0)
            metrics["asr"] = reconstruction.success_rate(original, x_train, noisy)
        provenance["evaluation"] = clock.provenance(run["settings"], device_name(device))
        record = records.Record(
            experiment="reconstruction",
            dataset=source.metadata["dataset"],
            variant=source.metadata["variant"],
            title=source.metadata["title"],
            model=model,
            method=method,
            seed=seed,
            draw=draw,
            metrics=metrics,
            settings=settings,
            provenance=provenance,
        )
        record.save(records.path(folder, method, seed, draw))


def _describe(result: AttackResult, x: torch.Tensor) -> dict[str, float]:
    """ASR, and the mean MI and perturbation of the successes where there are any."""
    out = {"asr": result.success_rate}
    if result.success.any():
        norms = (result.adv - x).flatten(1).norm(dim=1)[result.success]
        out["l2_mean"] = norms.double().mean().item()
        mi = result.mi[result.success].double().mean().item()
        if math.isfinite(mi):
            out["mi_mean"] = mi
    return out


def examples(data: Path, checkpoint: Path, uae: Path, target: Path, count: int = 10) -> None:
    """Figure 5's images: the `count` successful UAEs with the largest perturbation (appendix B.2).

    Writes original, uae and their reconstructions by the original model, float32 (n, C, H, W).
    """
    source = prepared.load(data)
    x, result = source.unit("train"), AttackResult.load(uae)
    norms = (result.adv - x).flatten(1).norm(dim=1)
    rows = torch.where(result.success, norms, -1).argsort(descending=True, stable=True)
    rows = rows[: min(count, int(result.success.sum()))]
    model, run = checkpoints.load(checkpoint)
    images = {"original": x[rows], "uae": result.adv[rows]}
    images |= {
        f"{name}_reconstruction": reconstruction.reconstruct(model, image) for name, image in images.items()
    }
    arrays: dict[str, np.ndarray] = {name: image.numpy() for name, image in images.items()}
    arrays |= {"index": rows.numpy(), "norm": norms[rows].numpy(), "mi": result.mi[rows].numpy()}
    metadata = {key: source.metadata[key] for key in ("dataset", "variant", "title")}
    storage.write_tensors(target, arrays, metadata | {"seed": run["seed"], "asr": result.success_rate})
