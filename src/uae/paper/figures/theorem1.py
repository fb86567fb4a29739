"""Theorem 1: how stationary the MinMax attack becomes, against the rate that the paper proves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from uae import storage
from uae.evaluation.stationarity import best_so_far, slope
from uae.paper.figures import COLORS, ONE_COLUMN, panels, title
from uae.paper.names import data_of, name_of

WIDTH = ONE_COLUMN


def draw(inputs: list[Path], width: float) -> tuple[Figure, pd.DataFrame]:
    """||L(delta_t, c_t)||^2 along the attack and its best value up to T, means over samples, log axes.

    The slope is fitted to the best values (see `uae.evaluation.stationarity`), beside the theorem's -1/2.
    """
    source = next(path for path in inputs if path.suffix == ".safetensors")
    arrays, metadata = storage.read_tensors(source, "stationarity")
    along = arrays["stationarity"].astype(np.float64)
    best = best_so_far(along)
    step = np.arange(1, along.shape[1] + 1)
    numbers = pd.DataFrame(
        {"T": step, "value_mean": along.mean(0), "best_mean": best.mean(0), "best_std": best.std(0)}
    )
    fitted = slope(best.mean(0))
    figure, (axes,) = panels(width)
    axes.loglog(step, along.mean(0), color=COLORS[5], lw=0.6, label=r"at step $t$")
    axes.loglog(step, best.mean(0), color=COLORS[0], label=rf"best up to $T$ (slope ${fitted:.2g}$)")
    half = len(step) // 2
    bound = best.mean(0)[half] * (step / step[half]) ** -0.5
    axes.loglog(step, bound, color="black", ls="--", lw=0.8, label=r"Theorem 1: slope $-1/2$")
    axes.set_xlabel("attack step")
    axes.set_ylabel(r"$\|\mathcal{L}(\delta_t, c_t)\|^2$")
    title(
        axes,
        f"{name_of(metadata['dataset'])} (data: {data_of(metadata['variant'])}), {len(along)} samples",
    )
    axes.legend(frameon=False, fontsize=6.5)
    return figure, numbers.assign(slope=fitted)
