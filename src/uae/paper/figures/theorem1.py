"""Theorem 1: how stationary the MinMax attack becomes, against the rate that the paper proves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from uae import storage
from uae.errors import InputError
from uae.evaluation.stationarity import best_so_far, rate, reached, slope
from uae.paper.figures import COLORS, MARKERS, TWO_COLUMNS, panels, title
from uae.paper.names import data_of, name_of

WIDTH = TWO_COLUMNS
KINDS = {
    "falling": r"$\alpha$ and the critic's rate $\propto 1/\sqrt{T}$",
    "frozen": "the same, critic frozen",
}
GAP = r"$\|\mathcal{L}(\delta_t, c_t)\|^2$"


def draw(inputs: list[Path], width: float) -> tuple[Figure, pd.DataFrame]:
    """Draw ||L(delta_t, c_t)||^2 of the attack itself and of attacks with the theorem's step sizes.

    Left: the value along the attack and the best value up to T, means over samples, log axes, with the
    fitted slope (see `uae.evaluation.stationarity`) beside the theorem's -1/2. Right, if they were run: the
    best value of attacks of T steps whose step size and critic's rate fall with T, or whose critic is frozen.
    """
    source = next((path for path in inputs if path.suffix == ".safetensors"), None)
    if source is None:
        raise InputError("theorem1: give the file of the curves beside the record, seed<n>.safetensors")
    arrays, metadata = storage.read_tensors(source, "stationarity")
    along = arrays.pop("stationarity").astype(np.float64)
    best = best_so_far(along).mean(0)
    step = np.arange(1, along.shape[1] + 1)
    columns = {
        "T": step,
        "value_mean": along.mean(0),
        "best_mean": best,
        "best_std": best_so_far(along).std(0),
    }
    numbers = pd.DataFrame({"attack": "as it is"} | columns).assign(slope=slope(best))
    figure, axes = panels(width, 1 + bool(arrays), columns=1 + bool(arrays))
    axes[0].loglog(step, along.mean(0), color=COLORS[5], lw=0.6, label=r"at step $t$")
    axes[0].loglog(step, best, color=COLORS[0], label=rf"best up to $T$ (slope ${slope(best):.2g}$)")
    _bound(axes[0], step, best)
    what = f"{name_of(metadata['dataset'])} (data: {data_of(metadata['variant'])}), {len(along)} samples"
    title(axes[0], f"{what}\nthe attack as it is")
    if arrays:
        by_kind = {kind: reached(arrays, kind, source) for kind in KINDS}
        numbers = pd.concat([numbers, _with_its_steps(axes[1], by_kind)])
        title(axes[1], f"{what}\nwith the theorem's step sizes")
        low, high = zip(*(axis.get_ylim() for axis in axes), strict=True)
        for axis in axes:
            axis.set_ylim(min(low), max(high))
    for axis in axes:
        axis.set(xlabel="attack steps", ylabel=GAP)
        axis.legend(frameon=False, fontsize=6.5)
    return figure, numbers


def _with_its_steps(axis: Axes, by_kind: dict[str, dict[int, np.ndarray]]) -> pd.DataFrame:
    """Draw a line per kind of attack: its best value in T steps."""
    rows = []
    for number, (kind, label) in enumerate(KINDS.items()):
        horizons = list(by_kind[kind])
        mean = np.array([values.mean() for values in by_kind[kind].values()])
        fitted = rate(horizons, mean.tolist())
        axis.loglog(
            horizons,
            mean,
            color=COLORS[number],
            marker=MARKERS[number],
            ms=3,
            label=rf"{label} (slope ${fitted:.2g}$)",
        )
        rows += [
            {"attack": kind, "T": t, "best_mean": values.mean(), "best_std": values.std(), "slope": fitted}
            for t, values in by_kind[kind].items()
        ]
    _bound(axis, np.array(horizons), mean)
    axis.set_xticks(horizons, map(str, horizons))
    axis.minorticks_off()
    return pd.DataFrame(rows)


def _bound(axis: Axes, step: np.ndarray, value: np.ndarray) -> None:
    """Draw the theorem's rate through the middle of a line."""
    half = len(step) // 2
    bound = value[half] * (step / step[half]) ** -0.5
    axis.loglog(step, bound, color="black", ls="--", lw=0.8, label=r"Theorem 1: slope $-1/2$")
