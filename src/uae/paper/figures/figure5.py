"""Figure 5: the successful UAEs with the largest perturbations (appendix B.2)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from uae import storage
from uae.paper.figures import TWO_COLUMNS, broken
from uae.paper.images import EDGE, canvas, fitting, paint
from uae.paper.names import data_of, name_of

WIDTH = TWO_COLUMNS
MARGIN = 0.93  # inches left of the images


def draw(inputs: list[Path], width: float) -> tuple[Figure, tuple[dict[str, Any], dict[str, Any]]]:
    """Draw original, MINE-UAE, perturbation and both reconstructions. Columns are samples.

    Each input, <data set>/<model>/<method>/seed<k>, holds one row's images
    (`uae.stages.evaluate.autoencoders.figure5`).
    """
    names = [p.parts[-4:-1] for p in inputs]
    grids = [
        storage.read_tensors(p, "original", "uae", "original_reconstruction", "uae_reconstruction")
        for p in inputs
    ]
    rows = [
        "Original $x$",
        r"MINE-UAE $x+\delta$",
        r"Perturbation $\delta$",
        r"$\Phi(x)$",
        r"$\Phi(x+\delta)$",
    ]
    columns = fitting(max(len(arrays["original"]) for arrays, _ in grids), width - MARGIN)
    cell = min((width - MARGIN) / columns, 1.0)
    headings = [
        broken(_heading(row, arrays, metadata), width)
        for row, (arrays, metadata) in zip(names, grids, strict=True)
    ]
    # A block has the heading's lines, the images, and the norms below them.
    heights = [0.12 * (1 + heading.count("\n")) + len(rows) * cell + 0.24 for heading in headings]
    figure, axes = canvas(width, sum(heights))
    top = sum(heights)
    for heading, height, (arrays, _) in zip(headings, heights, grids, strict=True):
        axes.text(EDGE, top - EDGE, heading, va="top", fontsize=7)
        top -= height
        delta = arrays["uae"] - arrays["original"]
        images = [
            arrays["original"],
            arrays["uae"],
            0.5 + delta / (2 * _extent(arrays) or 1),
            arrays["original_reconstruction"],
            arrays["uae_reconstruction"],
        ]
        count = min(len(delta), columns)
        for r, (label, batch) in enumerate(zip(reversed(rows), reversed(images), strict=True)):
            bottom = top + 0.17 + r * cell
            axes.text(EDGE, bottom + 0.47 * cell, label, va="center", fontsize=7)
            for c in range(count):
                paint(axes, batch[c], MARGIN + c * cell, bottom, 0.94 * cell)
        for c in range(count):
            norm = rf"$\|\delta\|_2$ {arrays['norm'][c]:.2f}"
            axes.text(MARGIN + (c + 0.47) * cell, top + 0.15, norm, ha="center", va="top", fontsize=5)
    plotted = {
        f"{'/'.join(row)}/{name}": array
        for row, (arrays, _) in zip(names, grids, strict=True)
        for name, array in arrays.items()
    }
    return figure, (plotted, {"grids": [metadata for _, metadata in grids]})


def _extent(arrays: dict[str, np.ndarray]) -> float:
    """The largest perturbation of any pixel."""
    return float(np.abs(arrays["uae"] - arrays["original"]).max(initial=0))


def _heading(row: tuple[str, ...], arrays: dict[str, np.ndarray], metadata: dict[str, Any]) -> str:
    dataset, model, method = row
    found = "" if len(arrays["uae"]) else ": no successful UAE"
    return (
        f"{name_of(method)}, {name_of(model).lower()} autoencoder on {name_of(dataset)} "
        f"(data: {data_of(metadata['variant'], metadata['title'])}), seed {metadata['seed']}, "
        f"ASR {100 * metadata['asr']:.2f}%\n"
        rf"perturbation: grey is 0, black and white are $\mp${_extent(arrays):.2g}{found}"
    )
