"""The estimator on trial: per-sample MINE's estimates against the known mutual information."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from uae import records
from uae.paper.figures import COLORS, MARKERS, NARROW, TWO_COLUMNS, panels, title
from uae.paper.names import name_of

WIDTH = TWO_COLUMNS
SHOWN = {
    "mine-uae": "paper's settings",
    "mine-uae-released": "released settings, vanilla critic",
    "mine-uae-released-critic": "released settings and critic",
    "mine-uae-trained": "trained critic",
}
COLUMNS = ["samples", "method", "seed", "truth", "estimate", "std", "estimate_half", "k", "d", "pairs"]


def draw(inputs: list[Path], width: float) -> tuple[Figure, pd.DataFrame]:
    """Draw a panel per way to sample: the mean estimate at the attack's last step, with standard deviations.

    Two more lines show the truth and log K. An estimate from K samples that exceeds log K is not reliable.
    """
    table = _rows(inputs)
    figure, axes = panels(width, max(table["samples"].nunique(), 1), columns=2)
    for axis, (samples, panel) in zip(axes, table.groupby("samples", sort=False), strict=False):
        truths = sorted(set(panel["truth"]))
        k, d = int(panel["k"].max()), int(panel["d"].max())
        exact = np.concatenate([np.linspace(0, 1, 20), np.geomspace(1, max(truths[-1], 2), 50)])
        axis.plot(exact, exact, color="black", lw=0.8, label="truth")
        axis.axhline(math.log(k), color="black", ls=":", lw=0.8, label=r"$\log K$")
        for number, method in enumerate(SHOWN):
            line = panel[panel["method"] == method].groupby("truth")[["estimate", "std"]].mean()
            if line.empty:
                continue
            axis.errorbar(
                line.index,
                line["estimate"],
                yerr=line["std"],
                color=COLORS[number],
                marker=MARKERS[number],
                ms=3,
                lw=1,
                capsize=2,
                label=SHOWN[method],
            )
        axis.set_xscale("symlog", linthresh=1, linscale=0.5)
        axis.set_yscale("symlog", linthresh=1, linscale=0.5)
        axis.set(xlim=(-0.1, 1.3 * exact[-1]), ylim=(-3, 1.3 * exact[-1]))
        axis.set(xlabel="true mutual information (nats)", ylabel="estimate (nats)")
        title(axis, f"{name_of(samples)}: K = {k}, D = {d}, {int(panel['pairs'].max())} pairs each")
    handles, labels = axes[0].get_legend_handles_labels()
    columns = 3 if width > NARROW * 2 else 1
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False, fontsize=6.5)
    return figure, table


def _rows(inputs: list[Path]) -> pd.DataFrame:
    rows = []
    for record in map(records.read, inputs):
        metrics, method = record.metrics, record.method
        if method not in SHOWN:
            continue
        of_run = [metrics[name] for name in ("compressed_samples", "compressed_size", "pairs")]
        for key, value in metrics.items():
            name, _, truth = key.partition("@")
            if name == "mi_estimate":
                more = [metrics[f"mi_estimate_{what}@{truth}"] for what in ("std", "half")]
                rows.append([record.model, method, record.seed, float(truth), value, *more, *of_run])
    frame = pd.DataFrame(rows, columns=COLUMNS)
    known = ["random-sampling", "convolution-output", *SHOWN]
    frame["order"] = [
        (known.index(s), known.index(m)) for s, m in zip(frame["samples"], frame["method"], strict=True)
    ]
    return frame.sort_values(["order", "seed", "truth"]).drop(columns="order")
