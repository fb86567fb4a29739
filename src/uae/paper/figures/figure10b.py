"""Figure 10 (b): PGD against a linear classifier on SimCLR's features."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from uae.paper.figures import ONE_COLUMN, _curves, panels, title
from uae.paper.names import data_of, name_of
from uae.records import read

WIDTH = ONE_COLUMN
FULL_WIDTH = 64
LABELS = {
    "original": "SimCLR",
    "mine-uae": "SimCLR-UAE",
    "mine-uae-released": "SimCLR-UAE (released)",
    "matched": "Matched control",
}


def draw(inputs: list[Path], width: float) -> tuple[Figure, pd.DataFrame]:
    """Draw the attack success rate against eps, a line per method: means over seeds. Bars span Wilson's 95 %
    intervals of all seeds.

    inputs: the records of the experiment `contrastive`.
    """
    loaded = [read(path) for path in inputs]
    numbers = _curves.rates(inputs, "contrastive", ["simclr"], list(LABELS))
    figure, (axes,) = panels(width)
    several = numbers["variant"].nunique() > 1
    for style, ((variant, method), rows) in enumerate(numbers.groupby(["variant", "method"], sort=False)):
        _curves.line(axes, rows, style, LABELS[method] + (f", {variant}" if several else ""))
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
