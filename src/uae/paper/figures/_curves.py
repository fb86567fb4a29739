"""What Figures 7 to 10 have in common: attack success rates against eps, with their intervals."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from uae import records
from uae.paper.figures import COLORS, MARKERS, panels, title
from uae.paper.names import data_of, name_of

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
                data = data_of(record.variant, record.title)
                keys = [record.dataset, data, model, record.method, record.seed, float(eps)]
                rows.append([*keys, *measured, *run])
    frame = pd.DataFrame(rows, columns=COLUMNS)
    return frame.sort_values(["dataset", "method", "seed", "eps"], key=lambda c: c.map(_order(methods)))


def _order(methods: list[str]):
    """MNIST before CIFAR-10, methods as listed."""
    known = ["mnist", "cifar10", *methods]
    return lambda value: known.index(value) if value in known else value


def draw(table: pd.DataFrame, labels: dict[str, str], width: float) -> Figure:
    """A panel a data set: the mean over seeds; the bars reach from the lowest to the highest interval.

    The methods stand beside each other at each eps, so that no bar hides another.
    labels: the methods' names in the legend. On CIFAR-10 eps is in steps of 1/255.
    """
    data = list(table.groupby(["dataset", "variant"], sort=False))
    count = max(len(data), 1)
    figure, axes = panels(width, count, columns=count)
    for axis, ((dataset, variant), panel) in zip(axes, data, strict=False):
        unit = 255 if dataset == "cifar10" else 1
        apart = 0.012 * unit * panel["eps"].max()
        there = [method for method in labels if method in set(panel["method"])]
        for number, (method, label) in enumerate(labels.items()):
            line = panel[panel["method"] == method].groupby("eps")
            if method not in there:
                continue
            mean, low, high = line["asr"].mean(), line["low"].min(), line["high"].max()
            axis.errorbar(
                unit * mean.index + apart * (there.index(method) - (len(there) - 1) / 2),
                mean,
                yerr=[mean - low, high - mean],
                color=COLORS[number],
                marker=MARKERS[number],
                ms=3.5,
                lw=1,
                capsize=2,
                label=label,
            )
        axis.set(ylim=(-0.03, 1.03), ylabel="attack success rate")
        axis.set_xlim(left=0)
        axis.set_xlabel(r"$\epsilon \times 255$" if unit == 255 else r"$\epsilon$")
        what = ", ".join(map(name_of, [dataset, *panel["model"].unique()]))
        title(axis, f"{what} (data: {variant})\n{_size(panel, labels)}")
        axis.legend(frameon=False, fontsize=7)
    return figure


def _size(panel: pd.DataFrame, labels: dict[str, str]) -> str:
    """How much was trained and attacked, of one data set."""

    def span(column: str) -> str:
        low, high = int(panel[column].min()), int(panel[column].max())
        return f"{low:,}" if low == high else f"{low:,} to {high:,}"

    seeds = panel["seed"].nunique()
    attacked = span("n_attacked")
    counts = panel.groupby("method", sort=False)["n_attacked"].max()
    if counts.nunique() > 1:
        attacked = ", ".join(f"{labels[method]} {int(count):,}" for method, count in counts.items())
    return (
        f"trained on {span('n_train')} for {span('epochs')} epochs, {seeds} seed{'s' * (seeds > 1)}\n"
        f"attacked: {attacked}"
    )
