"""Theorem 1's measure along a long attack, and along attacks with the theorem's step sizes.

The theorem has a horizon T. It assumes a step size alpha and an error eta of the estimate that both fall
with 1/sqrt(T). Its proof uses eta as a bound of the change of the estimate by training in one attack step.
Two kinds of attack have such an alpha and eta:

    falling    the critic always trains, with a learning rate that falls with 1/sqrt(T), as alpha does, and
               with one permutation: a new one changes the estimate at any learning rate
    frozen     the critic trains for some steps and is then frozen, so eta is 0

At the settings' number of steps, both have the settings' values. The steps of the warm-up do not count.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from uae import storage
from uae.attacks import MinMaxAttack
from uae.evaluation.stationarity import best_so_far, rate, reached, slope
from uae.losses import Reconstruction
from uae.stages.attack import attack_from
from uae.stages.evaluate.subject import Subject


def theorem1(subject: Subject) -> None:
    """Write the curve of an attack, or the record with its slope."""
    (_record if "along" in subject.paths else _curve)(subject)


def _curve(subject: Subject) -> None:
    """Measure ||L(delta_t, c_t)||^2 of Theorem 1 along the attack, for the first training samples.

    Writes `stationarity`, float32 (samples, steps), and, for each T in `horizons`, the best value of T
    steps: `falling-<T>` and `frozen-<T>`, (samples,).
    Settings: `attack`, of `Config.attacking`; the numbers of `samples` and `steps`; the `horizons`; and
    `warm_up` in attack steps.
    """
    settings, asked, progress = subject.settings, subject.settings["attack"], subject.progress
    attack, x = attack_from(asked), subject.x("train")[: settings["samples"]]

    def follow(changed: MinMaxAttack, note: str) -> tuple[np.ndarray, dict[str, Any]]:
        result = changed(
            Reconstruction(subject.model, squared=asked["squared"]),
            x,
            seed=subject.names.seed,
            trace=True,
            progress=(lambda done, total: progress(done, total, f"samples, {note}")) if progress else None,
        )
        assert result.stationarity is not None  # it is traced
        return result.stationarity.cpu().numpy(), result.metadata["attack"]

    curve, used = follow(dataclasses.replace(attack, steps=settings["steps"]), "stationarity")
    found = {"stationarity": curve}
    for horizon in settings["horizons"]:
        kinds = zip(("falling", "frozen"), keeping(attack, horizon, settings["warm_up"]), strict=True)
        for kind, changed in kinds:
            along = follow(changed, f"T = {horizon}, {kind}")[0]
            found[f"{kind}-{horizon}"] = along[:, -horizon:].min(axis=1)  # without the warm-up
    subject.show(
        found,
        model=subject.names.model,
        method=subject.names.method,
        attack=used,
        training=subject.run["provenance"],
        warm_up=settings["warm_up"],
        provenance=subject.provenance().model_dump(),
    )


def _record(subject: Subject) -> None:
    (along,) = subject.paths["along"]
    arrays, about = storage.read_tensors(along, "stationarity")
    subject.files[along] = about
    curve = arrays["stationarity"]
    metrics: dict[str, float] = {"n_attacked": len(curve), "attack_steps": curve.shape[1]}
    if np.isfinite(fitted := slope(best_so_far(curve).mean(0))):
        metrics["slope"] = fitted
    for kind in ("falling", "frozen"):
        best = {t: float(values.mean()) for t, values in reached(arrays, kind, along).items()}
        metrics |= {f"best_{kind}@{t}": value for t, value in best.items()}
        if np.isfinite(fitted := rate(list(best), list(best.values()))):
            metrics[f"slope_{kind}"] = fitted
    subject.save(
        metrics,
        {"attack": about["attack"], "warm_up": about["warm_up"]},
        about=about,
        earlier={"training": about["training"], "attack": about["provenance"]},
    )


def keeping(attack: MinMaxAttack, horizon: int, warm_up: int) -> tuple[MinMaxAttack, MinMaxAttack]:
    """The attack of `steps` steps with a falling rate, and the one with a critic frozen after a warm-up."""
    assert attack.mi is not None  # the theorem is about its critic
    fall = math.sqrt(attack.steps / horizon)
    step = dataclasses.replace(attack, steps=horizon, alpha=fall * attack.alpha)
    trained = dataclasses.replace(attack.mi, lr=fall * attack.mi.lr, one_permutation=True)
    still = dataclasses.replace(attack.mi, warm_up=warm_up)
    return dataclasses.replace(step, mi=trained), dataclasses.replace(step, steps=warm_up + horizon, mi=still)
