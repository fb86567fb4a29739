"""Attack robust models, and check the attacks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from uae import checkpoints, identity, losses, records, storage
from uae.attacks import PGD, AttackResult, MinMaxAttack
from uae.data import prepared
from uae.evaluation import robustness
from uae.evaluation.robustness import Rate
from uae.mine import MINE
from uae.stages import Progress, use

Run = dict[str, Any]


def attack(
    folder: Path,
    results: Path,
    *,
    rows: list[dict[str, Any]],
    seed: int,
    device: str = "cpu",
    progress: Progress | None = None,
) -> None:
    """Attack correctly classified test images of trained models over eps.

    folder: of the checkpoints, see `uae.stages.train_robust`.
    rows: `dataset`, `model`, `methods`, `data` and the `settings` of `Robustness.attacking`.
    Writes records under <results>/robustness/<dataset>/<model>, one a method; where MinMax is compared with
    PGD, one an attack instead, and `sanity` for the checks; and Figure 6's images under <results>/figure6.
    """
    use(device)
    total = sum(len(row["methods"]) * _attacks(row["settings"]) for row in rows)
    done = 0

    def attacked(note: str) -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total, f"attacks, {note}")

    for row in rows:
        for method in row["methods"]:
            subject = _Subject(folder, row, method, seed, device)
            _measure(subject, row["settings"], folder, results, attacked)


def _attacks(settings: dict[str, Any]) -> int:
    """How many attacks, at one eps each, are made on a model, but for the checks."""
    return len(settings["eps"]) * (1 if settings["minmax"] is None else 2)


class _Subject:
    """A trained model and the images it is attacked on."""

    def __init__(self, folder: Path, row: dict[str, Any], method: str, seed: int, device: str):
        self.clock = records.Clock()
        self.dataset, self.name, self.method, self.seed, self.device = (
            row["dataset"], row["model"], method, seed, device,
        )  # fmt: skip
        self.source = prepared.load(row["data"])
        path = checkpoint(folder, row["dataset"], row["model"], method, seed)
        self.model, self.run = checkpoints.load(path, device)
        self.files = {row["data"]: self.source.metadata, path: self.run}
        x = self.source.unit("test").to(device)
        y = torch.from_numpy(self.source.y_test).long().to(device)
        self.index = robustness.attacked(self.model, x, y, row["settings"]["images"], seed)
        self.x, self.y = x[self.index], y[self.index]
        self.accuracy, self.n_test = robustness.accuracy(self.model, x, y), len(x)

    def save(
        self, results: Path, method: str, rates: list[Rate], settings: dict[str, Any], **more: float
    ) -> None:
        """Write one record, with the rates at each eps."""
        metrics: dict[str, float] = {
            "accuracy": self.accuracy,
            "n_test": self.n_test,
            "n_train": self.run["n_train"],
            "epochs": len(self.run["history"]),
            "steps": self.run["steps"],
            "n_attacked": rates[0].count,
        } | more
        for rate in rates:
            at = f"@{rate.eps:.6g}"  # 8/255 is 0.0313725
            metrics |= {f"asr{at}": rate.value, f"asr_low{at}": rate.low, f"asr_high{at}": rate.high}
            metrics |= {f"cross_entropy{at}": rate.loss}
        record = records.Record(
            experiment="robustness",
            dataset=self.dataset,
            variant=self.source.metadata["variant"],
            title=self.source.metadata["title"],
            model=self.name,
            method=method,
            seed=self.seed,
            metrics=metrics,
            settings={"training": self.run["settings"], "attack": settings},
            provenance={
                "training": self.run["provenance"],
                "evaluation": self.clock.provenance(settings, records.device_name(self.device)),
            },
            inputs=identity.inputs(self.files),
        )
        record.save(records.path(results / "robustness" / self.dataset / self.name, method, self.seed))
        self.clock = records.Clock()


def checkpoint(folder: Path, dataset: str, model: str, method: str, seed: int) -> Path:
    return records.path(folder / dataset / model, method, seed, None, ".safetensors")


def _measure(
    subject: _Subject,
    settings: dict[str, Any],
    folder: Path,
    results: Path,
    attacked: Callable[[str], None],
) -> None:
    eps, shown, grids = settings["eps"], settings["shown"], {}

    def curve(name: str, count: int | None, attack: robustness.Attack) -> list[Rate]:
        """The rates at every eps; the first images are kept for Figure 6."""
        kept: list[AttackResult] = []

        def keeping(model: nn.Module, x: Tensor, y: Tensor, bound: float) -> AttackResult:
            kept.append(attack(model, x, y, bound))
            attacked(f"{subject.dataset}/{subject.name}/{subject.method}: {name}, eps {bound:.3g}")
            return kept[-1]

        rates = robustness.curve(subject.model, subject.x[:count], subject.y[:count], keeping, eps)
        if shown:
            grids[name] = torch.stack([result.adv[:shown] for result in kept]).cpu().numpy()
            grids[f"{name}_success"] = torch.stack([result.success[:shown] for result in kept]).cpu().numpy()
        return rates

    pgd = _pgd(settings, subject)
    rates = curve("pgd", None, pgd)
    if settings["minmax"] is None:
        subject.save(results, subject.method, rates, {"pgd": settings["pgd"]})
    else:
        subject.save(results, "pgd", rates, {"pgd": settings["pgd"]})
        minmax = curve("minmax", settings["minmax"]["images"], _minmax(settings, subject))
        subject.save(results, "minmax", minmax, {"minmax": settings["minmax"]})
    if shown:
        grids |= {"original": subject.x[:shown].cpu().numpy(), "eps": np.array(eps)}
        metadata = {key: subject.source.metadata[key] for key in ("variant", "title")}
        metadata |= {"dataset": subject.dataset, "model": subject.name, "seed": subject.seed}
        metadata["inputs"] = identity.inputs(subject.files)
        target = results / "figure6" / subject.dataset / subject.name / f"seed{subject.seed}.safetensors"
        storage.write_tensors(target, grids, metadata)
    if settings["sanity"] is not None:
        _check(subject, settings, folder, results, rates)


def _pgd(settings: dict[str, Any], subject: _Subject, **more: int) -> robustness.Attack:
    def attack(model: nn.Module, x: Tensor, y: Tensor, eps: float) -> AttackResult:
        pgd = PGD(eps=eps, **settings["pgd"], **more)
        return pgd(losses.CrossEntropy(model, y), x, seed=subject.seed, index=subject.index[: len(x)])

    return attack


def _minmax(settings: dict[str, Any], subject: _Subject) -> robustness.Attack:
    chosen = {key: value for key, value in settings["minmax"].items() if key != "images"}
    mine = MINE(
        critic=chosen.pop("critic"), inner_steps=chosen.pop("inner_steps"), lr=chosen.pop("critic_lr")
    )

    def attack(model: nn.Module, x: Tensor, y: Tensor, eps: float) -> AttackResult:
        # Of a failure the closest iterate is kept: Figure 6 shows what became of it.
        minmax = MinMaxAttack(eps=eps, mi=mine, maximize_mi=True, on_failure="best", **chosen)
        return minmax(losses.Margin(model, y), x, seed=subject.seed, index=subject.index[: len(x)])

    return attack


def _check(
    subject: _Subject, settings: dict[str, Any], folder: Path, results: Path, rates: list[Rate]
) -> None:
    """The record of the checks for masked gradients, at the eps of the model's training."""
    sanity, model, x, y = settings["sanity"], subject.model, subject.x, subject.y
    path = checkpoint(folder, subject.dataset, sanity["surrogate"], "original", subject.seed)
    surrogate, subject.files[path] = checkpoints.load(path, subject.device)

    def measured(attack: Callable[..., AttackResult], eps: float, made_on: nn.Module = model) -> Rate:
        # An image that the surrogate gets wrong is left as it is, and would count as a failed transfer.
        result = attack(made_on, x, y, eps)
        return robustness.rate(model, result.adv[result.eligible], y[result.eligible], eps)

    once, often = _pgd(settings, subject), _pgd(settings, subject, restarts=sanity["restarts"])
    checks = {
        "single": measured(once, sanity["eps"]),
        "restarts": measured(often, sanity["eps"]),
        "transfer": measured(once, sanity["eps"], surrogate),
        "unbounded": measured(once, 1.0),
    }
    raised = robustness.flags(rates, **checks)
    metrics = {f"asr_{name}": rate.value for name, rate in checks.items()}
    metrics |= {f"flag_{name}": float(bad) for name, bad in raised.items()} | {
        "flags": float(sum(raised.values()))
    }
    metrics["robust_accuracy"] = subject.accuracy * (1 - checks["restarts"].value)
    subject.save(
        results, "sanity", [checks["restarts"]], {"pgd": settings["pgd"], "sanity": sanity}, **metrics
    )
