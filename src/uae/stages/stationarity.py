"""Theorem 1's measure along a long attack, and along attacks that keep the theorem's conditions.

The theorem takes a horizon T, a step size alpha and an error eta of the estimate that both fall with
1/sqrt(T), where eta bounds how much training moves the estimate in one attack step. Two kinds of attack keep
that:

    falling    the critic trains on, with a learning rate that falls with 1/sqrt(T), as alpha does
    frozen     the critic trains for some steps and then stays as it is: eta is 0

Both start at the settings' values for the settings' number of steps. The steps of the warm-up do not count.
"""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np

from uae import checkpoints, identity, records, storage
from uae.attacks import AttackResult, MinMaxAttack
from uae.data import prepared
from uae.evaluation.stationarity import best_so_far, rate, slope
from uae.losses import Reconstruction
from uae.stages import Progress, use
from uae.stages.generate import attack_from


def stationarity(
    data: Path,
    checkpoint: Path,
    target: Path,
    *,
    settings: dict[str, Any],
    samples: int,
    steps: int,
    horizons: list[int],
    warm_up: int,
    dataset: str,
    model_name: str,
    method: str,
    seed: int,
    device: str = "cpu",
    progress: Progress | None = None,
) -> None:
    """||L(delta_t, c_t)||^2 of Theorem 1 along the attack, for the first training samples.

    Writes `stationarity`, float32 (samples, steps), to `target`, and for each of the `horizons` `falling-<T>`
    and `frozen-<T>`, (samples, T); beside it a record with the fitted slopes. warm_up: attack steps.
    """
    use(device)
    clock = records.Clock()
    source = prepared.load(data)
    model, run = checkpoints.load(checkpoint, device)
    attack, x = attack_from(settings), source.unit("train")[:samples].to(device)

    def follow(changed: MinMaxAttack, note: str) -> AttackResult:
        return changed(
            Reconstruction(model, squared=settings["squared"]),
            x,
            seed=seed,
            trace=True,
            progress=progress and (lambda done, total: progress(done, total, f"samples, {note}")),
        )

    as_it_is = follow(dataclasses.replace(attack, steps=steps), "stationarity")
    along = as_it_is.stationarity.cpu().numpy()
    kept = {}
    for horizon in horizons:
        falling, frozen = keeping(attack, horizon, warm_up)
        for kind, changed in (("falling", falling), ("frozen", frozen)):
            found = follow(changed, f"T = {horizon}, {kind}").stationarity.cpu().numpy()
            kept[f"{kind}-{horizon}"] = found[:, -horizon:]  # without the warm-up
    names = {"dataset": dataset, "model": model_name, "method": method, "seed": seed}
    known = names | {key: source.metadata[key] for key in ("variant", "title")}
    made_from = identity.inputs({data: source.metadata, checkpoint: run})
    storage.write_tensors(target, {"stationarity": along, **kept}, known | {"inputs": made_from})
    metrics = {"slope": slope(best_so_far(along).mean(0)), "n_attacked": len(along), "attack_steps": steps}
    for kind in ("falling", "frozen"):
        reached = {t: float(best_so_far(kept[f"{kind}-{t}"])[:, -1].mean()) for t in horizons}
        metrics |= {f"best_{kind}@{t}": value for t, value in reached.items()}
        if np.isfinite(fitted := rate(list(reached), list(reached.values()))):
            metrics[f"slope_{kind}"] = fitted
    record = records.Record(
        experiment="theorem1",
        **known,
        metrics=metrics,
        settings={"attack": as_it_is.metadata["attack"], "warm_up": warm_up},
        provenance={
            "training": run["provenance"],
            "attack": clock.provenance(settings, records.device_name(device)),
        },
        inputs=made_from,
    )
    record.save(target.with_suffix(".json"))


def keeping(attack: MinMaxAttack, horizon: int, warm_up: int) -> tuple[MinMaxAttack, MinMaxAttack]:
    """The attack over so many steps with a falling rate, and with a critic that is frozen after a warm-up."""
    fall = math.sqrt(attack.steps / horizon)
    step = dataclasses.replace(attack, steps=horizon, alpha=fall * attack.alpha)
    falling = dataclasses.replace(step, mi=dataclasses.replace(attack.mi, lr=fall * attack.mi.lr))
    still = dataclasses.replace(attack.mi, warm_up=warm_up)
    return falling, dataclasses.replace(step, steps=warm_up + horizon, mi=still)
