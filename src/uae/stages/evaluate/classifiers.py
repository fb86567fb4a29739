"""Measure attacked classifiers, for Tables 1 to 3 and the bounds of Figure 3."""

from __future__ import annotations

import functools
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from uae import identity, storage
from uae.attacks import AttackResult
from uae.attacks.result import mean_and_error
from uae.data import prepared
from uae.evaluation import image_distance, robustness
from uae.losses import CrossEntropy
from uae.mine import MINE, Estimator
from uae.models.classifiers import CarliniWagner
from uae.sampling import ConvolutionOutput, RandomSampling
from uae.stages import Progress
from uae.stages.evaluate.attacked import Attacked

log = logging.getLogger(__name__)

ESTIMATES = 100  # estimates of a pair's mutual information while its critic trains


def table1(
    target: Path,
    *,
    data: Path,
    checkpoint: Path,
    uae: Path,
    settings: dict[str, Any],
    device: str = "cpu",
    progress: Progress | None = None,
) -> None:
    """Write the record of one kind of example. One estimator measures the MI with originals for all kinds.

    settings: `estimator` with its `images`, `critic_steps`, `critic_lr` and `random_sampling`. UAEs, which
    are made from training samples, also have the `method` that made them; examples of a classifier have
    none.
    """
    part = "train" if "method" in settings else "test"
    attacked = Attacked(target, data, checkpoint, [uae], device, part)
    (result,), asked = attacked.results, settings["estimator"]
    rows = _successes(result, asked["images"])
    x, adv = (t[rows].to(device) for t in (attacked.originals(result), result.adv))
    samples = RandomSampling(**asked["random_sampling"])
    pairs = _scale(x) | {"mi_adv": adv}
    information = _information(pairs, x, samples, None, attacked.seed, asked)
    if part == "train":
        metrics = {"asr": result.success_rate, "n_attacked": len(result)} | information
        if len(rows):
            metrics |= {
                **mean_and_error("l2_mean", (adv - x).flatten(1).norm(dim=1)),
                "loss_clean": result.loss_clean[rows].double().mean().item(),
                "loss_adv": result.loss[rows].double().mean().item(),
            }
        attacked.save(metrics, {"attack": result.metadata["attack"], **settings}, [result])
        return
    metrics = attacked.accuracy() | attacked.metrics(result) | {"n_attacked": len(result)} | information
    if len(rows):
        loss = CrossEntropy(attacked.model, attacked.labels()[result.index[rows].to(device)])
        clean, moved = (robustness.logits(attacked.model, t) for t in (x, adv))
        with torch.no_grad():
            metrics |= {
                "prediction_changed": (clean.argmax(1) != moved.argmax(1)).double().mean().item(),
                "loss_clean": loss(x, x).mean().item(),
                "loss_adv": loss(adv, x).mean().item(),
            }
    attacked.save(metrics, {"attack": result.metadata["settings"], **settings}, [result])


def table2(
    target: Path,
    *,
    data: Path,
    checkpoint: Path,
    uae: Path,
    smaller: Sequence[Path] = (),
    inception: Path | None = None,
    settings: dict[str, Any],
    device: str = "cpu",
    progress: Progress | None = None,
) -> None:
    """Write the record of one set of examples, or of their originals if the method is `unattacked`.

    smaller: the set at the smaller eps of Figure 4.  settings: `inception`, the file or address of FID's
    weights, or None; `independent`, the number of training images for the features of a third network, or
    None; and the smaller `eps`.
    """
    attacked = Attacked(target, data, checkpoint, [uae, *smaller], device)
    result, *others = attacked.results
    weights = inception or (settings["inception"] and _downloaded(settings["inception"]))
    if weights is None:
        assert isinstance(attacked.model, CarliniWagner)
        extractor = image_distance.penultimate(attacked.model, attacked.x.shape[-1])
    else:
        extractor = image_distance.inception(weights, device)
    named = {"extractor": extractor.name, "resize": f"{extractor.resize} × {extractor.resize}"}
    if weights is not None:
        named["weights"] = storage.digest(weights)
    clean = identity.names(target).method == "unattacked"
    images = attacked.originals(result) if clean else result.adv
    real = extractor(attacked.source.unit("train").to(device))
    (distance,) = image_distance.distances(real, [extractor(images.to(device))], attacked.seed)
    metrics = attacked.accuracy() | {
        "fid": distance.fid,
        "kid": distance.kid,
        "kid_std": distance.kid_std,
        "kid_subset": distance.kid_subset,
    }
    if settings["independent"]:
        found, about = _independent(data, settings["independent"], images, attacked)
        metrics, named = metrics | found, named | about
    if clean:
        attacked.save(metrics | {"n_attacked": len(images)}, named)
        return
    metrics |= attacked.metrics(result) | {"compressed_samples": result.metadata["count"]}
    for other in others:
        small = attacked.metrics(other)
        metrics |= {f"{name}@{settings['eps']:g}": value for name, value in small.items()}
    attacked.save(metrics, named | {"attack": result.metadata["settings"]}, [*others, result])


def _independent(
    data: Path, count: int, images: Tensor, attacked: Attacked
) -> tuple[dict[str, float], dict[str, str]]:
    """Distances on features of a network that was not attacked, with their description, if it is there."""
    extractor = image_distance.lite0(attacked.device)
    if extractor is None:
        log.warning(
            "Table 2 has no distances on independent features: EfficientNet-Lite0 is not installed; "
            "pip install 'uae-repro[features]'"
        )
        return {}, {}
    real = _real_features(data, count, attacked.device)
    (found,) = image_distance.distances(real, [extractor(images.to(attacked.device))], attacked.seed)
    about = (
        f"{extractor.name}, resized to {extractor.resize} × {extractor.resize}, {len(real):,} training images"
    )
    distances = {"frechet_lite0": found.fid, "kernel_lite0": found.kid, "kernel_lite0_std": found.kid_std}
    return distances, {"independent": about}


@functools.cache  # one process may measure all examples of a classifier
def _real_features(data: Path, count: int, device: str) -> Tensor:
    extractor = image_distance.lite0(device)
    assert extractor is not None
    return extractor(prepared.load(data).unit("train")[:count].to(device))


def table3(
    target: Path,
    *,
    data: Path,
    checkpoint: Path,
    uae: Path,
    paired: Sequence[Path] = (),
    settings: dict[str, Any],
    device: str = "cpu",
    progress: Progress | None = None,
) -> None:
    """Write the record of one attack.

    paired: MinMax's set with the same critic. A penalty attack is compared with it image by image.
    settings: `estimator` has the `images`, `critic_steps` and `critic_lr` of the estimator for all examples.
    """
    attacked = Attacked(target, data, checkpoint, [uae, *paired], device)
    result, *others = attacked.results
    metrics = attacked.accuracy() | attacked.metrics(result)
    assert result.trace is not None  # compared attacks are traced
    trace = result.trace.double()
    half = trace[:, trace.shape[1] // 2 - 1]
    if half.isfinite().any():
        metrics |= mean_and_error("mi_late_gain", (trace[:, -1] - half)[half.isfinite()])
    rows = _successes(result, settings["estimator"]["images"])
    x, adv = (t[rows].to(device) for t in (attacked.originals(result), result.adv))
    measured = (x, ConvolutionOutput(), attacked.model, attacked.seed, settings["estimator"])
    metrics |= _information(_scale(x) | {"mi_adv": adv}, *measured)
    for other in others:
        metrics |= _paired(other, result)
    attacked.save(metrics, {"attack": result.metadata["settings"], **settings}, [result])


def _paired(one: AttackResult, other: AttackResult) -> dict[str, float]:
    """The difference in mutual information between two attacks, on the images where both succeed."""
    both = torch.isin(one.index, other.index[other.success]) & one.success
    order = {image: row for row, image in enumerate(other.index.tolist())}
    rows = [order[image] for image in one.index[both].tolist()]
    if not rows:
        return {}
    more = (one.mi[both] - other.mi[rows]).double()
    often = {"mi_minmax_more_often": (more > 0).double().mean().item()}
    return {"n_common": len(more)} | mean_and_error("mi_minmax_more", more) | often


def bounds(
    target: Path,
    *,
    data: Path,
    checkpoint: Path,
    uae: Sequence[Path],
    settings: dict[str, Any],
    device: str = "cpu",
    progress: Progress | None = None,
) -> None:
    """Write the record of one attack of Figure 3: its rates at every eps.

    uae: one set per eps in `settings["eps"]`.
    """
    attacked = Attacked(target, data, checkpoint, uae, device)
    metrics = attacked.accuracy()
    for eps, result in zip(settings["eps"], attacked.results, strict=True):
        found = attacked.metrics(result)
        metrics["n_attacked"] = found.pop("n_attacked")
        metrics |= {f"{name}@{eps:g}": value for name, value in found.items()}
    attack = attacked.results[-1].metadata["settings"]
    attacked.save(metrics, {"attack": attack, **settings}, attacked.results)


def _downloaded(address: str) -> Path:
    """Download Inception's weights and return the file. Raises DataError without secrets of the address."""
    from uae.data import fetch

    return fetch.download(address, Path("data/raw/inception"))


def _successes(result: AttackResult, count: int) -> Tensor:
    return result.success.nonzero()[:count, 0]


def _scale(x: Tensor) -> dict[str, Tensor]:
    """The pairs that examples are compared with: each original with itself and with the next one."""
    return {"mi_itself": x} | ({"mi_other": x.roll(-1, 0)} if len(x) > 1 else {})


def _information(
    pairs: dict[str, Tensor],
    x: Tensor,
    samples: ConvolutionOutput | RandomSampling,
    model: nn.Module | None,
    seed: int,
    settings: dict[str, Any],
) -> dict[str, float]:
    """By metric, the mean MI of originals x with other samples, and its error. Each pair has a critic.

    The MI of a pair is the mean over the last tenth of its estimates, because a single estimate
    depends on one permutation.
    """
    if not len(x):
        return {}
    features = samples.bind(model, x, seed)
    calls = min(ESTIMATES, settings["critic_steps"])
    mine = MINE(inner_steps=settings["critic_steps"] // calls, lr=settings["critic_lr"])
    found: dict[str, list[Tensor]] = {name: [] for name in pairs}
    for rows in torch.arange(len(x), device=x.device).split(50):
        with torch.no_grad():
            clean = features.compute(x[rows], 0).contiguous()
        for name, others in pairs.items():
            with torch.no_grad():
                other = features.compute(others[rows], 0).contiguous()
            estimator = Estimator(mine, clean, None, seed, rows, features.standardize)
            values = [estimator.estimate(clean, other)[0] for _ in range(calls)]
            found[name].append(torch.stack(values[-max(1, calls // 10) :]).mean(0))
    means = (mean_and_error(name, torch.cat(values)) for name, values in found.items())
    return {name: value for mean in means for name, value in mean.items()}
