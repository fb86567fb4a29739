"""Attack robust models over eps, and check the attacks: Figures 6 to 10 (a)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from uae import checkpoints, identity, losses, records
from uae.attacks import PGD, AttackResult, MinMaxAttack
from uae.data import prepared
from uae.evaluation import robustness as measures
from uae.evaluation.robustness import Rate
from uae.mine import MINE
from uae.stages import Progress, use
from uae.stages.evaluate import writing


class _Subject:
    """A trained model and the test images on which it is attacked: those that it classifies correctly."""

    def __init__(
        self, target: Path, data: Path, checkpoint: Path, settings: dict[str, Any], device: str
    ) -> None:
        use(device)
        self.clock, self.seed, self.device = records.Clock(), identity.names(target).seed, device
        self.settings, self.source = settings, prepared.load(data)
        self.model, self.run = checkpoints.load(checkpoint, device)
        self.files = {data: self.source.metadata, checkpoint: self.run}
        x = self.source.unit("test").to(device)
        y = torch.from_numpy(self.source.y_test).long().to(device)
        self.index = measures.attacked(self.model, x, y, settings["images"], self.seed)
        self.x, self.y = x[self.index], y[self.index]
        self.accuracy, self.n_test = measures.accuracy(self.model, x, y), len(x)

    def pgd(self, restarts: int = 1) -> measures.Attack:
        def attack(model: nn.Module, x: Tensor, y: Tensor, eps: float) -> AttackResult:
            pgd = PGD(eps=eps, **self.settings["pgd"], restarts=restarts)
            return pgd(losses.CrossEntropy(model, y), x, seed=self.seed, index=self.index[: len(x)])

        return attack

    def minmax(self) -> measures.Attack:
        chosen = {key: value for key, value in self.settings["minmax"].items() if key != "images"}
        mine = MINE(
            critic=chosen.pop("critic"), inner_steps=chosen.pop("inner_steps"), lr=chosen.pop("critic_lr")
        )

        def attack(model: nn.Module, x: Tensor, y: Tensor, eps: float) -> AttackResult:
            # A failure keeps the closest iterate, because Figure 6 shows it.
            minmax = MinMaxAttack(eps=eps, mi=mine, maximize_mi=True, on_failure="best", **chosen)
            return minmax(losses.Margin(model, y), x, seed=self.seed, index=self.index[: len(x)])

        return attack


def robustness(
    target: Path,
    *,
    data: Path,
    checkpoint: Path,
    surrogate: Path | None = None,
    settings: dict[str, Any],
    device: str = "cpu",
    progress: Progress | None = None,
) -> None:
    """Write the record of PGD on one model over eps. With `minmax` in the settings it is that of MinMax, with
    `sanity` that of the checks for masked gradients.

    surrogate: the model whose examples are transferred.  settings: from `config.robustness`: `eps`, `images`
    and those of the attacks.
    """
    subject, eps = _Subject(target, data, checkpoint, settings, device), settings["eps"]
    kind = next(name for name in ("sanity", "minmax", "pgd") if name in settings)
    count, attack = None, subject.pgd()
    if kind == "minmax":
        count, attack = settings["minmax"]["images"], subject.minmax()
    attack = _counting(attack, progress, len(eps))
    rates = measures.curve(subject.model, subject.x[:count], subject.y[:count], attack, eps)
    asked: dict[str, Any] = {kind: settings[kind]}
    more: dict[str, float] = {}
    if kind == "sanity":
        assert surrogate is not None  # it comes with this setting
        rates, more = _checks(subject, rates, surrogate)
        asked["pgd"] = settings["pgd"]
    run = subject.run
    metrics: dict[str, float] = {
        "accuracy": subject.accuracy,
        "n_test": subject.n_test,
        "n_train": run["n_train"],
        "epochs": len(run["history"]),
        "steps": run["steps"],
        "n_attacked": rates[0].count,
    } | more
    if "success_change" in run:
        metrics["success_change"] = run["success_change"]
    for rate in rates:
        at = f"@{rate.eps:.6g}"  # 8/255 is 0.0313725
        metrics |= {f"asr{at}": rate.value, f"asr_low{at}": rate.low, f"asr_high{at}": rate.high}
        metrics |= {f"cross_entropy{at}": rate.loss}
    writing.record(
        target,
        data=subject.source.metadata,
        metrics=metrics,
        settings={"training": run["settings"], "attack": asked},
        provenance={
            "training": run["provenance"],
            "evaluation": subject.clock.provenance(asked, records.device_name(device)),
        },
        files=subject.files,
        run=run,
    )


def _counting(attack: measures.Attack, progress: Progress | None, total: int) -> measures.Attack:
    done = 0

    def counted(model: nn.Module, x: Tensor, y: Tensor, eps: float) -> AttackResult:
        nonlocal done
        result, done = attack(model, x, y, eps), done + 1
        if progress is not None:
            progress(done, total, f"attacks, eps {eps:.3g}")
        return result

    return counted


def _checks(subject: _Subject, rates: list[Rate], surrogate: Path) -> tuple[list[Rate], dict[str, float]]:
    """Run the checks for masked gradients at the eps of the model's training.

    Transfer is measured, and compared with white-box PGD, on the images that the surrogate classifies
    correctly. Without such an image the record has neither its rate nor its flag.
    """
    sanity, model, x, y = subject.settings["sanity"], subject.model, subject.x, subject.y
    other, subject.files[surrogate] = checkpoints.load(surrogate, subject.device)
    eps = sanity["eps"]
    once, often = subject.pgd(), subject.pgd(restarts=sanity["restarts"])
    results = {"single": once(model, x, y, eps), "restarts": often(model, x, y, eps)}
    moved, unbounded = once(other, x, y, eps), once(model, x, y, 1.0)

    def rate(result: AttackResult, rows: Tensor | None, eps: float = eps) -> Rate:
        return measures.rate(model, result.adv[rows], y[rows], eps)

    checks = {name: rate(result, result.eligible) for name, result in results.items()}
    checks["unbounded"] = rate(unbounded, unbounded.eligible, 1.0)
    same: list[Rate] = []
    # An image that the surrogate misclassifies stays unchanged and would count as a failed transfer.
    if moved.eligible is not None and moved.eligible.any():
        checks["transfer"] = rate(moved, moved.eligible)
        same = [rate(result, moved.eligible) for result in results.values()]
    raised = measures.flags(rates, **checks, white_box=same)
    metrics = {f"asr_{name}": rate.value for name, rate in checks.items()}
    metrics |= {f"flag_{name}": float(bad) for name, bad in raised.items()}
    metrics["flags"] = float(sum(raised.values()))
    metrics["robust_accuracy"] = subject.accuracy * (1 - checks["restarts"].value)
    return [checks["restarts"]], metrics


def figure6(
    target: Path,
    *,
    data: Path,
    checkpoint: Path,
    settings: dict[str, Any],
    device: str = "cpu",
    progress: Progress | None = None,
) -> None:
    """Write the first attacked images and their examples at every eps.

    `original` is float32 (n, C, H, W), each `<attack>` float32 (eps, n, C, H, W), with `<attack>_success`.
    """
    subject, eps = _Subject(target, data, checkpoint, settings, device), settings["eps"]
    x, y = (t[: settings["shown"]] for t in (subject.x, subject.y))
    attacks = {"pgd": subject.pgd()} | ({"minmax": subject.minmax()} if settings["minmax"] else {})
    grids: dict[str, np.ndarray] = {}
    for name, attack in attacks.items():
        counted = _counting(attack, progress, len(eps))
        results = [counted(subject.model, x, y, bound) for bound in eps]
        grids[name] = torch.stack([result.adv for result in results]).cpu().numpy()
        grids[f"{name}_success"] = torch.stack([result.success for result in results]).cpu().numpy()
    grids |= {"original": x.cpu().numpy(), "eps": np.array(eps)}
    model = identity.names(target).model
    writing.arrays(target, grids, subject.source.metadata, subject.files, model=model)
