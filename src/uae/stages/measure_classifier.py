"""Measure attacked classifiers: the records of Tables 1 to 3, the traces and images of Figures 1 to 4."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from uae import checkpoints, identity, records, storage
from uae.attacks import AttackResult
from uae.data import prepared
from uae.evaluation import image_distance, robustness
from uae.losses import CrossEntropy
from uae.mine import MINE, Estimator
from uae.sampling import ConvolutionOutput, RandomSampling
from uae.stages import use

MODEL = "classifier"
ESTIMATES = 100  # of the mutual information of a pair, while its critic trains


@dataclass
class Attacked:
    """A classifier, its data and its sets of examples.

    sets: the folder of the example sets.  root: the folder of all records of the scale.
    """

    data: Path
    checkpoint: Path
    sets: Path
    root: Path
    dataset: str
    device: str = "cpu"
    clock: records.Clock = field(default_factory=records.Clock)

    def __post_init__(self) -> None:
        use(self.device)
        self.source = prepared.load(self.data)
        self.model, self.run = checkpoints.load(self.checkpoint, self.device)
        self.seed = self.run["seed"]
        self.files = {self.data: self.source.metadata, self.checkpoint: self.run}
        self.x = self.source.unit("test").to(self.device)
        self.y = torch.from_numpy(self.source.y_test).long().to(self.device)
        self.accuracy = robustness.accuracy(self.model, self.x, self.y)

    def examples(self, name: str, draw: int | None = None) -> AttackResult:
        """The set of that name. Raises BadFile where it attacks another training of the classifier."""
        path = records.path(self.sets, name, self.seed, draw, ".safetensors")
        result = AttackResult.load(path)
        identity.inputs(self.files | {path: result.metadata})
        return result

    def originals(self, result: AttackResult) -> Tensor:
        return self.x.cpu()[result.index]

    def metrics(self, result: AttackResult) -> dict[str, float]:
        """What every attack is asked; means are over its successes, and absent without one."""
        ok = result.success
        out = {"asr": result.success_rate, "n_attacked": int(result.eligible.sum())}
        if result.zero_gradient is not None:
            out["zero_gradients"] = int(result.zero_gradient.sum())
        if ok.any():
            out["step_mean"] = result.step[ok].double().mean().item()
            norms = (result.adv - self.originals(result)).flatten(1).norm(dim=1)[ok]
            out["l2_mean"] = norms.double().mean().item()
            mi = result.mi[ok].double().mean().item()
            if math.isfinite(mi):
                out["mi_mean"] = mi
        return out

    def save(
        self,
        item: str,
        method: str,
        metrics: dict[str, float],
        settings: dict[str, Any],
        sets: list[AttackResult],
        draw: int | None = None,
    ) -> None:
        """Write records/<item>/<dataset>/classifier/<method>/seed<k>.json. sets: the main one last."""
        metrics = {"accuracy": self.accuracy, **metrics}
        _save(self, item, (self.dataset, MODEL, method), metrics, settings, sets, self.source, self.run, draw)

    def grid(
        self, item: str, arrays: dict[str, np.ndarray], metadata: dict[str, Any], sets: list[AttackResult]
    ) -> None:
        """Write the images or curves of a figure."""
        known = {key: self.source.metadata[key] for key in ("variant", "title")}
        known |= {"dataset": self.dataset, "seed": self.seed}
        known["inputs"] = _inputs(self.source.metadata, self.run, sets)
        target = self.root / item / self.dataset / MODEL
        storage.write_tensors(target / f"seed{self.seed}.safetensors", arrays, known | metadata)


def _save(
    attacked: Attacked,
    item: str,
    names: tuple[str, str, str],
    metrics: dict[str, float],
    settings: dict[str, Any],
    sets: list[AttackResult],
    source: prepared.Prepared,
    run: dict[str, Any],
    draw: int | None = None,
) -> None:
    """Write one record. names: dataset, model, method.  source, run: the data and the training."""
    dataset, model, method = names
    device = records.device_name(attacked.device)
    provenance = {"training": run["provenance"], "evaluation": attacked.clock.provenance(settings, device)}
    if sets:
        attacks = [result.metadata["provenance"] for result in sets]
        provenance["attack"] = attacks[-1] | {"seconds": sum(attack["seconds"] for attack in attacks)}
    record = records.Record(
        experiment="supervised",
        dataset=dataset,
        variant=source.metadata["variant"],
        title=source.metadata["title"],
        model=model,
        method=method,
        seed=attacked.seed,
        draw=draw,
        metrics={"n_train": run["n_train"], "n_test": len(source.x_test), **metrics},
        settings={"training": run["settings"], **settings},
        provenance=provenance,
        inputs=_inputs(source.metadata, run, sets),
    )
    record.save(records.path(attacked.root / item / dataset / model, method, attacked.seed, draw))
    attacked.clock = records.Clock()  # each record has the seconds since the one before


def _inputs(
    source: dict[str, Any], run: dict[str, Any], sets: list[AttackResult]
) -> dict[str, dict[str, str | None]]:
    files = (source, run, *(result.metadata for result in sets))
    return identity.inputs({metadata.get("file", ""): metadata for metadata in files})


def compare(attacked: Attacked, methods: list[str], estimator: dict[str, Any]) -> None:
    """Table 3's records and Figure 2's curves: the best MI of a success after each iteration.

    estimator: `images`, `critic_steps` and `critic_lr` of the one that measures the examples of all methods.
    """
    curves: dict[str, np.ndarray] = {}
    minmax: dict[str, AttackResult] = {}  # by critic
    scales: dict[tuple[int, ...], dict[str, float]] = {}  # of the originals alone, by which they are
    sets: list[AttackResult] = []
    for method in methods:
        result = attacked.examples(method)
        metrics = attacked.metrics(result)
        trace = result.trace.double()
        half = trace[:, trace.shape[1] // 2 - 1]
        if half.isfinite().any():
            metrics["mi_late_gain"] = (trace[:, -1] - half)[half.isfinite()].mean().item()
        rows = _successes(result, estimator["images"])
        x, adv = (t[rows].to(attacked.device) for t in (attacked.originals(result), result.adv))
        measured = (x, ConvolutionOutput(), attacked.model, attacked.seed, estimator)
        images = tuple(result.index[rows].tolist())
        if images not in scales:
            scales[images] = _information(_scale(x), *measured)
        metrics |= scales[images] | _information({"mi_adv": adv}, *measured)
        critic = result.metadata["settings"]["mine"]["critic"]
        if result.metadata["settings"]["attack"] == "minmax":
            minmax.setdefault(critic, result)
        elif critic in minmax:
            metrics |= _paired(minmax[critic], result)
        settings = {"attack": result.metadata["settings"], "estimator": estimator}
        attacked.save("table3", method, metrics, settings, [result])
        sets.append(result)
        found = trace.isfinite()
        count = found.sum(0)
        mean = torch.where(found, trace, 0).sum(0) / count
        spread = (torch.where(found, trace - mean, 0).square().sum(0) / count).sqrt()
        curves |= {
            f"{method}/mean": mean.float().numpy(),
            f"{method}/std": spread.float().numpy(),
            f"{method}/count": count.int().numpy(),
        }
    attacked.grid("figure2", curves, {"methods": methods}, sets)


def _paired(one: AttackResult, other: AttackResult) -> dict[str, float]:
    """How much more mutual information one attack finds than another, on the images where both succeed."""
    both = torch.isin(one.index, other.index[other.success]) & one.success
    order = {image: row for row, image in enumerate(other.index.tolist())}
    rows = [order[image] for image in one.index[both].tolist()]
    if not rows:
        return {}
    more = (one.mi[both] - other.mi[rows]).double()
    found = {"n_common": len(more), "mi_minmax_more": more.mean().item()}
    found["mi_minmax_more_often"] = (more > 0).double().mean().item()
    if len(more) > 1:
        found["mi_minmax_more_error"] = more.std().item() / math.sqrt(len(more))
    return found


def distances(
    attacked: Attacked,
    runs: list[tuple[str, int | None]],
    pictured: list[str],
    eps: list[float],
    shown: int,
    inception: str | None,
) -> None:
    """Table 2's records, and the images of Figures 1 and 4: those of the pictured methods' first runs."""
    weights = None if inception is None else _weights(inception)
    if weights is None:
        extractor = image_distance.penultimate(attacked.model, attacked.x.shape[-1])
    else:
        extractor = image_distance.inception(weights, attacked.device)
    results = [attacked.examples(method, draw) for method, draw in runs]
    clean = attacked.originals(results[0])
    batches = [clean, *(result.adv for result in results)]
    real = extractor(attacked.source.unit("train").to(attacked.device))
    features = [extractor(batch.to(attacked.device)) for batch in batches]
    found = image_distance.distances(real, features, attacked.seed)
    named = {"extractor": extractor.name, "resize": f"{extractor.resize} × {extractor.resize}"}
    if weights is not None:
        named["weights"] = storage.digest(weights)
    for number, distance in enumerate(found):
        metrics = {
            "fid": distance.fid,
            "kid": distance.kid,
            "kid_std": distance.kid_std,
            "kid_subset": distance.kid_subset,
        }
        if not number:
            metrics["n_attacked"] = len(clean)
            attacked.save("table2", "unattacked", metrics, named, [])
            continue
        (method, draw), result = runs[number - 1], results[number - 1]
        sets = [result]
        metrics |= attacked.metrics(result) | {"compressed_samples": result.metadata["count"]}
        if not draw and method in pictured:
            sets.insert(0, attacked.examples(f"{method}@{eps[1]:g}", draw))
            small = attacked.metrics(sets[0])
            metrics |= {f"{name}@{eps[1]:g}": value for name, value in small.items()}
        settings = named | {"attack": result.metadata["settings"]}
        attacked.save("table2", method, metrics, settings, sets, draw)
    first = [(method, draw) for method, draw in runs if not draw and method in pictured]
    for item, bound in zip(("figure1", "figure4"), eps, strict=True):
        suffix = "" if bound == eps[0] else f"@{bound:g}"
        firsts = {method: attacked.examples(method + suffix, draw) for method, draw in first}
        pictures = _pictures(attacked, firsts, shown)
        attacked.grid(item, pictures, {"eps": bound, "methods": list(firsts)}, list(firsts.values()))


def _weights(inception: str) -> Path:
    """The file of Inception's weights. Raises DataError, without a secret of the address, where it fails."""
    if "://" not in inception:
        return Path(inception)
    from uae.data import fetch

    return fetch.download(inception, Path("data/raw/inception"))


def _pictures(attacked: Attacked, results: dict[str, AttackResult], shown: int) -> dict[str, np.ndarray]:
    """The first attacked images, their examples, and what the classifier takes each for."""
    first = next(iter(results.values()))
    images = {"original": attacked.originals(first)[:shown]}
    images |= {method: result.adv[:shown] for method, result in results.items()}
    arrays = {name: batch.numpy() for name, batch in images.items()}
    for name, batch in images.items():
        logits = robustness.logits(attacked.model, batch.to(attacked.device))
        arrays[f"predicted/{name}"] = logits.argmax(1).cpu().numpy()
    arrays |= {f"success/{method}": result.success[:shown].numpy() for method, result in results.items()}
    return arrays


def bounds(attacked: Attacked, eps: list[float], shown: int) -> None:
    """Figure 3's images, and for each attack a record of its rates at every eps."""
    arrays: dict[str, np.ndarray] = {}
    sets: list[AttackResult] = []
    for method in ("minmax", "pgd"):
        results = [attacked.examples(f"{method}@{bound:g}") for bound in eps]
        metrics: dict[str, float] = {}
        for bound, result in zip(eps, results, strict=True):
            found = attacked.metrics(result)
            metrics["n_attacked"] = found.pop("n_attacked")
            metrics |= {f"{name}@{bound:g}": value for name, value in found.items()}
        settings = {"attack": results[-1].metadata["settings"], "eps": eps}
        attacked.save("bounds", method, metrics, settings, results)
        sets += results
        arrays["original"] = attacked.originals(results[0])[:shown].numpy()
        arrays[method] = torch.stack([result.adv[:shown] for result in results], 1).numpy()
        arrays[f"success/{method}"] = torch.stack([r.success[:shown] for r in results], 1).numpy()
    attacked.grid("figure3", arrays, {"eps": eps, "methods": ["minmax", "pgd"]}, sets)


def definitions(
    attacked: Attacked, examples: str, other: dict[str, Any], names: dict[str, str], settings: dict[str, Any]
) -> None:
    """Table 1's records: both kinds of example, their MI with the original by one and the same estimator.

    examples: the set of supervised ones.  other: `dataset` and `model` of the row of Table 4 whose UAEs
    stand for the unsupervised definition, and its files: `data`, `checkpoint` and, by method, `uae`.
    names: the records' methods by those of the UAEs.  settings: `images`, and of the estimator
    `critic_steps`, `critic_lr` and `random_sampling`.
    """
    result = attacked.examples(examples)
    rows = _successes(result, settings["images"])
    x, adv = attacked.originals(result)[rows], result.adv[rows]
    labels = attacked.y[result.index[rows].to(attacked.device)]
    clean, moved = (robustness.logits(attacked.model, t.to(attacked.device)) for t in (x, adv))
    loss = CrossEntropy(attacked.model, labels)
    metrics = attacked.metrics(result) | {"n_attacked": len(result)}
    samples = RandomSampling(**settings["random_sampling"])
    metrics |= _information(_scale(x) | {"mi_adv": adv}, x, samples, None, attacked.seed, settings)
    if len(rows):
        with torch.no_grad():
            metrics |= {
                "prediction_changed": (clean.argmax(1) != moved.argmax(1)).double().mean().item(),
                "loss_clean": loss(x.to(attacked.device), x).mean().item(),
                "loss_adv": loss(adv.to(attacked.device), x).mean().item(),
            }
    attacked.save(
        "table1",
        "supervised-example",
        metrics,
        {"attack": result.metadata["settings"], "estimator": settings},
        [result],
    )

    source, run = prepared.load(other["data"]), checkpoints.load(other["checkpoint"])[1]
    for method, path in other["uae"].items():
        result = AttackResult.load(path)
        files = {other["data"]: source.metadata, other["checkpoint"]: run, path: result.metadata}
        identity.inputs(files)
        rows = _successes(result, settings["images"])
        x, adv = source.unit("train")[rows], result.adv[rows]
        metrics = {"asr": result.success_rate, "n_attacked": len(result)}
        metrics |= _information(_scale(x) | {"mi_adv": adv}, x, samples, None, attacked.seed, settings)
        if len(rows):
            metrics |= {
                "l2_mean": (adv - x).flatten(1).norm(dim=1).double().mean().item(),
                "loss_clean": result.loss_clean[rows].double().mean().item(),
                "loss_adv": result.loss[rows].double().mean().item(),
            }
        known = {"attack": result.metadata["attack"], "estimator": settings, "method": method}
        where = (other["dataset"], other["model"], names[method])
        _save(attacked, "table1", where, metrics, known, [result], source, run)


def _successes(result: AttackResult, count: int) -> Tensor:
    return result.success.nonzero()[:count, 0]


def _scale(x: Tensor) -> dict[str, Tensor]:
    """What examples are compared with: the originals themselves, and for each the next one."""
    return {"mi_itself": x} | ({"mi_other": x.roll(-1, 0)} if len(x) > 1 else {})


def _information(
    pairs: dict[str, Tensor],
    x: Tensor,
    samples: ConvolutionOutput | RandomSampling,
    model: nn.Module | None,
    seed: int,
    settings: dict[str, Any],
) -> dict[str, float]:
    """Mean MI of originals x with others, by metric; each pair by a critic of its own: the mean of its last
    tenth of estimates, for one estimate is one permutation's."""
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
            estimator = Estimator(mine, clean, None, seed, rows)
            values = [estimator.estimate(clean, other)[0] for _ in range(calls)]
            found[name].append(torch.stack(values[-max(1, calls // 10) :]).mean(0))
    return {name: torch.cat(values).double().mean().item() for name, values in found.items()}


ITEMS = {"table1": definitions, "table2": distances, "table3": compare, "figure3": bounds}
