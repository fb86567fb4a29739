"""Figure 10 (b): PGD against a linear classifier on SimCLR's features."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from uae.intervals import wilson
from uae.paper.figures import COLORS, MARKERS, ONE_COLUMN, panels, title
from uae.paper.names import data_of, name_of
from uae.records import Record, read

WIDTH = ONE_COLUMN
FULL_WIDTH = 64
LABELS = {"original": "SimCLR", "mine-uae": "SimCLR-UAE", "matched": "Matched control"}


def draw(inputs: list[Path], width: float) -> tuple[Figure, pd.DataFrame]:
    """Draw the attack success rate against eps with Wilson's 95 % intervals, a line per method, seeds pooled.

    inputs: the records of the experiment `contrastive`.
    """
    loaded = [read(path) for path in inputs]
    numbers = rates(loaded)
    figure, (axes,) = panels(width)
    several = numbers["variant"].nunique() > 1
    for style, ((variant, method), line) in enumerate(numbers.groupby(["variant", "method"], sort=False)):
        axes.errorbar(
            line["eps"],
            line["asr"],
            yerr=[line["asr"] - line["low"], line["high"] - line["asr"]],
            color=COLORS[style],
            marker=MARKERS[style],
            ms=3.5,
            lw=1,
            capsize=2,
            label=LABELS.get(method, name_of(method)) + (f", {variant}" if several else ""),
        )
    axes.set_xlabel(r"$\epsilon$")
    axes.set_ylabel("attack success rate")
    axes.set_ylim(-0.03, 1.03)
    axes.set_xlim(left=0)
    first = loaded[0]
    data = sorted({data_of(r.variant, r.title) for r in loaded})
    attacked = sorted({int(r.metrics["n_attacked"]) for r in loaded})
    images = f"{attacked[0]}" if len(attacked) == 1 else f"{attacked[0]} to {attacked[-1]}"
    width_of = int(first.metrics["width"])
    network = (
        "ResNet-18" if width_of == FULL_WIDTH else f"ResNet-18 of width {width_of} instead of {FULL_WIDTH}"
    )
    epochs = sorted({int(r.metrics["epochs"]) for r in loaded})
    title(
        axes,
        f"{name_of(first.dataset)} (data: {', '.join(data)}), {images} images\n"
        f"{network}, {' to '.join(map(str, dict.fromkeys((epochs[0], epochs[-1]))))} epochs",
    )
    axes.legend(frameon=False, fontsize=6.5)
    return figure, numbers


def rates(records: list[Record]) -> pd.DataFrame:
    """One row per method and eps: hits and attacked images over all seeds, the rate and its interval."""
    cells = pd.DataFrame(
        [
            (r.variant, r.method, float(name.partition("@")[2]), round(rate * r.metrics["n_attacked"]),
             int(r.metrics["n_attacked"]), r.seed)
            for r in records
            for name, rate in r.metrics.items()
            if name.startswith("asr@")
        ],
        columns=["variant", "method", "eps", "hits", "count", "n_seeds"],
    )  # fmt: skip
    order = [*LABELS, *sorted(set(cells["method"]) - set(LABELS))]
    pooled = cells.groupby(["variant", "method", "eps"], as_index=False).agg(
        {"hits": "sum", "count": "sum", "n_seeds": "nunique"}
    )
    pooled = pooled.sort_values(
        ["method", "eps"], key=lambda c: c.map(order.index) if c.name == "method" else c
    )
    limits = [wilson(hits, count) for hits, count in zip(pooled["hits"], pooled["count"], strict=True)]
    return pooled.assign(
        asr=pooled["hits"] / pooled["count"],
        low=[low for low, _ in limits],
        high=[high for _, high in limits],
    ).reset_index(drop=True)
