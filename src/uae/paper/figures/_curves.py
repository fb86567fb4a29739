"""The common code of Figures 7 to 10: attack success rates against eps, with their intervals."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from uae import records
from uae.intervals import wilson
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


WIDE = 5.0  # inches: the legend fits into one line

# Figures 7 and 8. The longer attacks show whether MinMax's success has saturated.
ATTACKS = {
    "minmax": "MinMax",
    "pgd": "PGD",
    "minmax-alpha-0.1": "MinMax, step size 0.1, 300 steps",
    "minmax-1000-steps": "MinMax, step size 0.1, 1,000 steps",
}


def attacks(inputs: list[Path], models: list[str], width: float) -> tuple[Figure, pd.DataFrame]:
    """Draw the attacks' success rates against models. Each input is a record of `robustness`."""
    numbers = rates(inputs, "robustness", models, list(ATTACKS))
    return draw(numbers, ATTACKS, width), numbers


def rates(inputs: list[Path], experiment: str, models: list[str], methods: list[str]) -> pd.DataFrame:
    """One row per success rate of the models' records, in the order of models and methods."""
    rows = []
    for record in map(records.read, inputs):
        if record.experiment != experiment or record.model not in models or record.method not in methods:
            continue
        metrics = record.metrics
        for key in metrics:
            name, at, eps = key.partition("@")
            if name == "asr" and at:
                measured = [metrics.get(f"{what}@{eps}") for what in ("asr", "asr_low", "asr_high")]
                if None in measured:  # SimCLR's records have no intervals
                    attacked = int(metrics["n_attacked"])
                    measured[1:] = wilson(round(metrics[key] * attacked), attacked)
                run = [metrics[name] for name in COLUMNS[9:]]
                data = data_of(record.variant, record.title)
                keys = [record.dataset, data, record.model, record.method, record.seed, float(eps)]
                rows.append([*keys, *measured, *run])
    frame = pd.DataFrame(rows, columns=COLUMNS)
    order = _order([*models, *methods])
    return frame.sort_values(["dataset", "model", "method", "seed", "eps"], key=lambda c: c.map(order))


def _order(names: list[str]) -> Callable[[Any], Any]:
    """MNIST before CIFAR-10, the others as listed."""
    known = ["mnist", "cifar10", *names]
    return lambda value: known.index(value) if value in known else value


def draw(table: pd.DataFrame, labels: dict[str, str], width: float) -> Figure:
    """Draw a panel per data set and model: means over seeds. Bars span the intervals of all seeds.

    The methods are drawn side by side at each eps, so that no bar hides another.
    labels: the methods' names in the legend. On CIFAR-10 eps is in steps of 1/255.
    """
    data = list(table.groupby(["dataset", "variant", "model"], sort=False))
    count = max(len(data), 1)
    figure, axes = panels(width, count, columns=count)
    for axis, ((dataset, variant, model), panel) in zip(axes, data, strict=False):
        unit = 255 if dataset == "cifar10" else 1
        apart = 0.012 * unit * panel["eps"].max()
        there = [method for method in labels if method in set(panel["method"])]
        for number, (method, label) in enumerate(labels.items()):
            if method in there:
                shift = apart * (there.index(method) - (len(there) - 1) / 2)
                line(axis, panel[panel["method"] == method], number, label, unit, shift)
        axis.set(ylim=(-0.03, 1.03), ylabel="attack success rate")
        axis.set_xlim(left=0)
        axis.set_xlabel(r"$\epsilon \times 255$" if unit == 255 else r"$\epsilon$")
        what = f"{name_of(dataset)}, {name_of(model)}"
        title(axis, f"{what} (data: {variant})\n{_size(panel, labels)}")
    shown = {str(bars.get_label()): bars for axis in axes for bars in axis.containers}
    texts = [label for label in labels.values() if label in shown]
    columns = len(texts) if width > WIDE else 2
    handles = [shown[text] for text in texts]
    figure.legend(
        handles=handles, labels=texts, loc="outside lower center", ncols=columns, frameon=False, fontsize=7
    )
    figure.set_figheight(figure.get_figheight() + 0.3)  # inches that the legend takes
    return figure


def line(axis: Axes, rows: pd.DataFrame, number: int, label: str, unit: float = 1, shift: float = 0) -> None:
    """Draw one line: means over seeds, and bars that span the intervals of all seeds."""
    by_eps = rows.groupby("eps")
    mean, low, high = by_eps["asr"].mean(), by_eps["low"].min(), by_eps["high"].max()
    axis.errorbar(
        unit * mean.index + shift,
        mean,
        yerr=[mean - low, high - mean],
        color=COLORS[number],
        marker=MARKERS[number],
        ms=3.5,
        lw=1,
        capsize=2,
        label=label,
    )


def _size(panel: pd.DataFrame, labels: dict[str, str]) -> str:
    """The sizes of training and attack in a panel's title."""

    def span(column: str) -> str:
        low, high = int(panel[column].min()), int(panel[column].max())
        return f"{low:,}" if low == high else f"{low:,} to {high:,}"

    seeds = panel["seed"].nunique()
    attacked = span("n_attacked")
    counts = panel.groupby("method", sort=False)["n_attacked"].max()
    if counts.nunique() > 1:
        by_count = counts.groupby(counts, sort=False).groups.items()
        attacked = ", ".join(
            f"{int(n):,} ({labels[methods[0]] if len(methods) == 1 else 'the others'})"
            for n, methods in by_count
        )
    trained = f"trained on {span('n_train')} for {span('epochs')} epochs, {seeds} seed{'s' * (seeds > 1)}"
    if not panel["n_train"].any():
        trained = "published weights, not trained here"
    return f"{trained}\nattacked: {attacked}"
