"""Figure 2: the mutual information of the best success after each iteration, MinMax and penalty."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from uae import storage
from uae.paper.figures import COLORS, TWO_COLUMNS, panels, title
from uae.paper.names import data_of, name_of

WIDTH = TWO_COLUMNS
POINTS = 400  # evenly spaced points of each curve


def draw(inputs: list[Path], width: float) -> tuple[Figure, pd.DataFrame]:
    """Draw a column per data set and a row per critic: means over images with a success so far, bands ± std.

    A line is thin until the last image has its first success. Until then the mean is over a growing set.
    """
    shown: dict[str, pd.DataFrame] = {}
    for curves in map(_curves, inputs):
        shown.setdefault(curves["variant"].iloc[0], curves)  # only the first seed of each
    numbers = pd.concat(shown.values(), ignore_index=True)
    datasets = list(dict.fromkeys(numbers["dataset"]))
    critics = list(dict.fromkeys(numbers["critic"]))
    figure, axes = panels(width, len(critics) * len(datasets), len(datasets))
    for (dataset, critic), part in numbers.groupby(["dataset", "critic"], sort=False):
        panel = axes[critics.index(critic) * len(datasets) + datasets.index(dataset)]
        for place, (method, curve) in enumerate(part.groupby("method", sort=False)):
            color, style = COLORS[place], ["-", "--", ":", "-."][place % 4]
            count = int(curve["images"].iloc[-1])
            label = f"{name_of(method)}, {count:,} image{'s' * (count != 1)}"
            panel.plot(curve["iteration"], curve["mean"], color=color, ls=style, lw=0.5)
            whole = curve["mean"].where(curve["images"] == count)
            panel.plot(curve["iteration"], whole, color=color, ls=style, lw=1.2, label=label)
            low, high = curve["mean"] - curve["std"], curve["mean"] + curve["std"]
            panel.fill_between(curve["iteration"], low, high, color=color, alpha=0.18, lw=0)
        data = data_of(part["variant"].iloc[0])
        title(panel, f"{name_of(dataset)} (data: {data}), {critic} critic")
        panel.set_xlabel("iteration")
        panel.set_ylabel("MI (nats)")
        panel.set_xlim(0, part["iteration"].max())
        panel.set_ylim(top=1.3 * panel.get_ylim()[1])  # room for the legend
        panel.legend(frameon=False, fontsize=6)
        panel.tick_params(labelsize=6.5)
    for panel in axes:
        if not panel.has_data():
            panel.set_axis_off()
    return figure, numbers


def _curves(path: Path) -> pd.DataFrame:
    """The curves of one data set, thinned; NaN before the first success of any image."""
    arrays, metadata = storage.read_tensors(path)
    frames = []
    for method in metadata["methods"]:
        mean, std, count = (arrays[f"{method}/{name}"] for name in ("mean", "std", "count"))
        rows = np.unique(np.linspace(0, len(mean) - 1, POINTS).round().astype(int))
        frames.append(
            pd.DataFrame(
                {
                    "dataset": metadata["dataset"],
                    "variant": metadata["variant"],
                    "critic": "vanilla" if "vanilla" in method else "released",
                    "method": method,
                    "iteration": rows + 1,
                    "images": count[rows],
                    "mean": mean[rows],
                    "std": std[rows],
                }
            )
        )
    return pd.concat(frames, ignore_index=True)
