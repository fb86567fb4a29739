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
from pathlib import Path
from typing import Any

import numpy as np

from uae import checkpoints, identity, records, storage
from uae.attacks import MinMaxAttack
from uae.data import prepared
from uae.evaluation.stationarity import best_so_far, rate, reached, slope
from uae.losses import Reconstruction
from uae.stages import Progress, use
from uae.stages.attack import attack_from
from uae.stages.evaluate import writing


def theorem1(target: Path, **job: Any) -> None:
    """Write the curve of an attack, or the record with its slope."""
    (_record if target.suffix == ".json" else _curve)(target, **job)


def _curve(
    target: Path,
    *,
    data: Path,
    checkpoint: Path,
    settings: dict[str, Any],
    device: str = "cpu",
    progress: Progress | None = None,
) -> None:
    """Measure ||L(delta_t, c_t)||^2 of Theorem 1 along the attack, for the first training samples.

    Writes `stationarity`, float32 (samples, steps), and, for each T in `horizons`, the best value of T
    steps: `falling-<T>` and `frozen-<T>`, (samples,).
    settings: `attack`, of `Config.attacking`; the numbers of `samples` and `steps`; the `horizons`; and
    `warm_up` in attack steps.
    """
    use(device)
    clock, names = records.Clock(), identity.names(target)
    source = prepared.load(data)
    model, run = checkpoints.load(checkpoint, device)
    asked = settings["attack"]
    attack, x = attack_from(asked), source.unit("train")[: settings["samples"]].to(device)

    def follow(changed: MinMaxAttack, note: str) -> tuple[np.ndarray, dict[str, Any]]:
        result = changed(
            Reconstruction(model, squared=asked["squared"]),
            x,
            seed=names.seed,
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
    writing.arrays(
        target,
        found,
        source.metadata,
        {data: source.metadata, checkpoint: run},
        model=names.model,
        method=names.method,
        attack=used,
        training=run["provenance"],
        warm_up=settings["warm_up"],
        provenance=clock.provenance(asked, records.device_name(device)).model_dump(),
    )


def _record(
    target: Path,
    *,
    along: Path,
    settings: dict[str, Any],
    device: str = "cpu",
    progress: Progress | None = None,
) -> None:
    arrays, found = storage.read_tensors(along, "stationarity")
    curve = arrays["stationarity"]
    metrics = {
        "slope": slope(best_so_far(curve).mean(0)),
        "n_attacked": len(curve),
        "attack_steps": curve.shape[1],
    }
    for kind in ("falling", "frozen"):
        best = {t: float(values.mean()) for t, values in reached(arrays, kind, along).items()}
        metrics |= {f"best_{kind}@{t}": value for t, value in best.items()}
        if np.isfinite(fitted := rate(list(best), list(best.values()))):
            metrics[f"slope_{kind}"] = fitted
    writing.record(
        target,
        data=found,
        metrics=metrics,
        settings={"attack": found["attack"], "warm_up": found["warm_up"]},
        provenance={"training": found["training"], "attack": found["provenance"]},
        files={along: found},
    )


def keeping(attack: MinMaxAttack, horizon: int, warm_up: int) -> tuple[MinMaxAttack, MinMaxAttack]:
    """The attack of `steps` steps with a falling rate, and the one with a critic frozen after a warm-up."""
    assert attack.mi is not None  # the theorem is about its critic
    fall = math.sqrt(attack.steps / horizon)
    step = dataclasses.replace(attack, steps=horizon, alpha=fall * attack.alpha)
    trained = dataclasses.replace(attack.mi, lr=fall * attack.mi.lr, one_permutation=True)
    still = dataclasses.replace(attack.mi, warm_up=warm_up)
    return dataclasses.replace(step, mi=trained), dataclasses.replace(step, steps=warm_up + horizon, mi=still)
