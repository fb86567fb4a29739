"""Training curves: the loss of each epoch, in a small chart per model and data set."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from uae import curves, records
from uae.errors import InputError
from uae.paper.figures import COLORS, TWO_COLUMNS, title
from uae.paper.names import data_of, name_of

WIDTH = TWO_COLUMNS
PANEL = 1.6, 1.35  # inches: a chart's smallest width, and its height
LEGEND, ENTRY = 0.4, 1.1  # inches: the legend's height, and an entry's width
# The authors' settings of a method are dashed, its second run has its colour.
COLOR = {
    "original": COLORS[6],
    "matched": COLORS[2],
    "mine-uae": COLORS[0],
    "l2-uae": COLORS[1],
    "ga-": COLORS[4],
}
OTHER = "0.75"  # other settings of the attack are grey
LABELS = {
    "original": "Original",
    "matched": "Matched control",
    "mine-uae": "MINE-UAE",
    "l2-uae": r"$L_2$-UAE",
}
LABELS |= {"ga-": "GA", "": "other settings"}


def draw(inputs: list[Path], width: float) -> tuple[Figure, pd.DataFrame]:
    """Draw the mean training loss against the epoch, a line per run; logarithmic over a power of ten or more.

    inputs: records; those without a curve are left out. Raises InputError if no record has one.
    """
    loaded = [records.read(path) for path in inputs if path.suffix == ".json"]
    numbers = pd.DataFrame(curves.of_records(loaded), columns=curves.Point._fields)
    if numbers.empty:
        raise InputError("no record has a training curve: they were made before records kept them")
    titles = {(r.dataset, r.variant): r.title for r in loaded}
    charts = list(numbers.groupby(["dataset", "variant", "model"], sort=False))
    columns = max(1, min(int(width / PANEL[0]), len(charts)))
    rows = -(-len(charts) // columns)
    figure = Figure(figsize=(width, rows * PANEL[1] + LEGEND), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axis, ((dataset, variant, model), chart) in zip(axes, charts, strict=False):
        for (method, _, _), run in chart.groupby(["method", "seed", "draw"], sort=False, dropna=False):
            axis.plot(run["epoch"], run["loss"], lw=0.8, **_style(method))
        if chart["loss"].max() > 10 * chart["loss"].min() > 0:  # else its axis has few powers of ten
            axis.set_yscale("log")
            axis.yaxis.set_major_locator(LogLocator(subs=(1, 3)))
            axis.yaxis.set_major_formatter("{x:g}")
            axis.yaxis.set_minor_formatter(NullFormatter())
        else:
            axis.locator_params(axis="y", nbins=4)
        axis.tick_params(labelsize=5.5, which="both")
        for side in (axis.xaxis, axis.yaxis):
            side.set_label_coords(0, 0)  # no label: else all tick labels are measured to place it
        data = data_of(variant, titles[dataset, variant]).replace("+", " + ")  # to allow a line break
        title(axis, f"{name_of(dataset)}, {name_of(model)}\n{data}")
    _legend(figure, numbers)
    figure.supxlabel("epoch", fontsize=7)
    figure.supylabel("training loss", fontsize=7)
    for axis in axes[len(charts) :]:
        axis.set_axis_off()
    return figure, numbers


def _kind(method: str) -> str:
    """The entry of `LABELS` for a method."""
    plain = method.removesuffix("-released").removesuffix("-2").removesuffix("-best")
    return "ga-" if plain.startswith("ga-") else plain if plain in LABELS else ""


def _style(method: str) -> dict[str, object]:
    kind = _kind(method)
    return {
        "color": COLOR.get(kind, OTHER),
        "ls": "--" if method.endswith("-released") else "-",
        "zorder": 2 + bool(kind),
    }


def _legend(figure: Figure, numbers: pd.DataFrame) -> None:
    methods = list(numbers["method"].unique())
    kinds = [kind for kind in LABELS if kind in map(_kind, methods)]
    lines = [Line2D([], [], lw=1.2, color=COLOR.get(kind, OTHER), label=LABELS[kind]) for kind in kinds]
    if any(method.endswith("-released") for method in methods):
        lines.append(Line2D([], [], lw=1.2, color="0.3", ls="--", label="authors' settings (released)"))
    columns = max(1, int(figure.get_figwidth() / ENTRY))
    figure.legend(handles=lines, ncols=columns, frameon=False, fontsize=6.5, loc="outside upper center")
