"""Attack robust models over eps, and check the attacks: Figures 6 to 10 (a)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from uae import losses
from uae.attacks import PGD, AttackResult, MinMaxAttack
from uae.evaluation import robustness as measures
from uae.evaluation.robustness import Rate
from uae.mine import MINE
from uae.stages import Progress
from uae.stages.evaluate.subject import Subject


class _Attacked:
    """A model's attacks and the test images that they start from: those that it classifies correctly."""

    def __init__(self, subject: Subject) -> None:
        x, y = subject.x("test"), subject.y("test")
        self.model, self.settings, self.seed = subject.model, subject.settings, subject.names.seed
        self.index = measures.attacked(self.model, x, y, self.settings["images"], self.seed)
        self.x, self.y = x[self.index], y[self.index]

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


def robustness(subject: Subject) -> None:
    """Write the record of PGD on one model over eps. With `minmax` in the settings it is that of MinMax, with
    `sanity` that of the checks for masked gradients.

    Inputs: `surrogate`, the model whose examples are transferred.  Settings: from `config.robustness`: `eps`,
    `images` and those of the attacks.
    """
    attacked, settings, run = _Attacked(subject), subject.settings, subject.run
    kind = next(name for name in ("sanity", "minmax", "pgd") if name in settings)
    count, attack = None, attacked.pgd()
    if kind == "minmax":
        count, attack = settings["minmax"]["images"], attacked.minmax()
    attack = _counting(attack, subject.progress, len(settings["eps"]))
    rates = measures.curve(subject.model, attacked.x[:count], attacked.y[:count], attack, settings["eps"])
    accuracy = measures.accuracy(subject.model, subject.x("test"), subject.y("test"))
    metrics: dict[str, float] = {"accuracy": accuracy}
    asked: dict[str, Any] = {kind: settings[kind]}
    if kind == "sanity":
        rates, found = _checks(attacked, rates, subject.other("surrogate"))
        metrics |= found | {"robust_accuracy": accuracy * (1 - found["asr_restarts"])}
        asked["pgd"] = settings["pgd"]
    metrics["n_attacked"] = rates[0].count
    if "success_change" in run:
        metrics["success_change"] = run["success_change"]
    for rate in rates:
        at = f"@{rate.eps:.6g}"  # 8/255 is 0.0313725
        metrics |= {f"asr{at}": rate.value, f"asr_low{at}": rate.low, f"asr_high{at}": rate.high}
        metrics |= {f"cross_entropy{at}": rate.loss}
    subject.save(metrics, {"training": run["settings"], "attack": asked})


def _counting(attack: measures.Attack, progress: Progress | None, total: int) -> measures.Attack:
    done = 0

    def counted(model: nn.Module, x: Tensor, y: Tensor, eps: float) -> AttackResult:
        nonlocal done
        result, done = attack(model, x, y, eps), done + 1
        if progress is not None:
            progress(done, total, f"attacks, eps {eps:.3g}")
        return result

    return counted


def _checks(
    attacked: _Attacked, rates: list[Rate], surrogate: nn.Module
) -> tuple[list[Rate], dict[str, float]]:
    """Run the checks for masked gradients at the eps of the model's training.

    Transfer is measured, and compared with white-box PGD, on the images that the surrogate classifies
    correctly. Without such an image the record has neither its rate nor its flag.
    """
    sanity, model, x, y = attacked.settings["sanity"], attacked.model, attacked.x, attacked.y
    eps = sanity["eps"]
    once, often = attacked.pgd(), attacked.pgd(restarts=sanity["restarts"])
    results = {"single": once(model, x, y, eps), "restarts": often(model, x, y, eps)}
    moved, unbounded = once(surrogate, x, y, eps), once(model, x, y, 1.0)

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
    return [checks["restarts"]], metrics


def figure6(subject: Subject) -> None:
    """Write the first attacked images and their examples at every eps.

    `original` is float32 (n, C, H, W), each `<attack>` float32 (eps, n, C, H, W), with `<attack>_success`.
    """
    attacked, settings, eps = _Attacked(subject), subject.settings, subject.settings["eps"]
    x, y = (t[: settings["shown"]] for t in (attacked.x, attacked.y))
    attacks = {"pgd": attacked.pgd()} | ({"minmax": attacked.minmax()} if settings["minmax"] else {})
    grids: dict[str, np.ndarray] = {}
    for name, attack in attacks.items():
        counted = _counting(attack, subject.progress, len(eps))
        results = [counted(subject.model, x, y, bound) for bound in eps]
        grids[name] = torch.stack([result.adv for result in results]).cpu().numpy()
        grids[f"{name}_success"] = torch.stack([result.success for result in results]).cpu().numpy()
    grids |= {"original": x.cpu().numpy(), "eps": np.array(eps)}
    subject.show(grids, model=subject.names.model)
