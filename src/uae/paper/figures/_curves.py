"""What Figures 7 to 10 have in common: attack success rates against eps, with their intervals."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib import pyplot as plt

from uae import records
from uae.paper.figures import COLORS, MARKERS
from uae.paper.tables import name_of

COLUMNS = [
    "dataset",
    "variant",
    "model",
    "method",
    "seed",
    "eps",
    "asr",
    "low",
    "high",
    "n_attacked",
    "n_train",
    "epochs",
]


def rates(inputs: list[Path], experiment: str, model: str, methods: list[str]) -> pd.DataFrame:
    """One row a success rate of a model's records, in the order of the methods."""
    rows = []
    for record in map(records.read, inputs):
        if (record.experiment, record.model) != (experiment, model) or record.method not in methods:
            continue
        metrics = record.metrics
        for key in metrics:
            name, at, eps = key.partition("@")
            if name == "asr" and at:
                measured = [metrics[key], metrics[f"asr_low@{eps}"], metrics[f"asr_high@{eps}"]]
                run = [metrics[name] for name in COLUMNS[9:]]
                keys = [record.dataset, _variant(record), model, record.method, record.seed, float(eps)]
                rows.append([*keys, *measured, *run])
    frame = pd.DataFrame(rows, columns=COLUMNS)
    return frame.sort_values(["dataset", "method", "seed", "eps"], key=lambda c: c.map(_order(methods)))


def _order(methods: list[str]):
    """MNIST before CIFAR-10, methods as listed."""
    known = ["mnist", "cifar10", *methods]
    return lambda value: known.index(value) if value in known else value


def _variant(record: records.Record) -> str:
    return f"stand-in: {record.variant}" if record.title.startswith("stand-in") else record.variant


def draw(table: pd.DataFrame, labels: dict[str, str], width: float) -> plt.Figure:
    """A panel a data set: the mean over seeds, in the band of all their intervals.

    labels: the methods' names in the legend. On CIFAR-10 eps is in steps of 1/255.
    """
    panels = list(table.groupby(["dataset", "variant"], sort=False))
    figure, axes = plt.subplots(
        1,
        max(len(panels), 1),
        figsize=(width, 0.36 * width if len(panels) > 1 else 0.75 * width),
        squeeze=False,
    )
    for axis, ((dataset, variant), panel) in zip(axes[0], panels, strict=False):
        unit = 255 if dataset == "cifar10" else 1
        for number, (method, label) in enumerate(labels.items()):
            line = panel[panel["method"] == method].groupby("eps")
            if not len(line):
                continue
            x = unit * line["eps"].first()
            style = {"color": COLORS[number], "marker": MARKERS[number], "markersize": 3, "lw": 1}
            axis.plot(x, 100 * line["asr"].mean(), label=label, **style)
            axis.fill_between(
                x, 100 * line["low"].min(), 100 * line["high"].max(), color=COLORS[number], alpha=0.15, lw=0
            )
        axis.set(ylim=(-3, 103), ylabel="attack success rate (%)")
        axis.set_xlabel(r"$\epsilon \times 255$" if unit == 255 else r"$\epsilon$")
        seeds = panel["seed"].nunique()
        trained = f", {seeds} seeds" if seeds > 1 else ""
        axis.set_title(f"{name_of(dataset)} (data: {variant}{trained})", fontsize=7)
        axis.legend(frameon=False, fontsize=6.5)
    return figure
