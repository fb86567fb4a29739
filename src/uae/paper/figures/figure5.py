"""Figure 5: the successful UAEs with the largest perturbations (appendix B.2)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import pyplot as plt

from uae import storage
from uae.paper.figures import TWO_COLUMNS
from uae.paper.images import canvas, paint
from uae.paper.tables import data_of, name_of

WIDTH = TWO_COLUMNS


def draw(inputs: list[Path], width: float) -> tuple[plt.Figure, tuple[dict[str, Any], dict[str, Any]]]:
    """Original, MINE-UAE, perturbation and both reconstructions; columns are samples.

    Each input holds one row's images (`uae.stages.evaluate.examples`): <data set>/<model>/<method>/seed<k>.
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
    columns = max(max(len(arrays["original"]) for arrays, _ in grids), 1)
    cell = width / (columns + 1.6)
    titles = 0.46  # inches: two lines above the images, the norms below
    height = len(grids) * (len(rows) * cell + titles)
    axes = canvas(width, height)
    for g, ((dataset, model, method), (arrays, metadata)) in enumerate(zip(names, grids, strict=True)):
        delta = arrays["uae"] - arrays["original"]
        extent = float(np.abs(delta).max()) if delta.size else 1.0
        images = [
            arrays["original"],
            arrays["uae"],
            0.5 + delta / (2 * extent or 1),
            arrays["original_reconstruction"],
            arrays["uae_reconstruction"],
        ]
        top = height - g * (len(rows) * cell + titles)
        count = len(arrays["original"])
        found = "" if count else ": no successful UAE"
        axes.text(
            0,
            top,
            f"{name_of(method)}, {name_of(model).lower()} autoencoder on {name_of(dataset)} "
            f"(data: {data_of(metadata['variant'], metadata['title'])}), seed {metadata['seed']}, "
            f"ASR {100 * metadata['asr']:.2f}%\n"
            rf"perturbation: grey is 0, black and white are $\mp${extent:.2g}{found}",
            va="top",
            fontsize=7,
        )
        for r, (label, batch) in enumerate(zip(rows, images, strict=True)):
            bottom = top - titles - (r + 1) * cell + 0.17
            axes.text(0, bottom + cell / 2, label, va="center", fontsize=7)
            for c in range(count):
                paint(axes, batch[c], (1.6 + c) * cell, bottom, 0.94 * cell)
        for c in range(count):
            axes.text(
                (1.6 + c + 0.47) * cell,
                top - titles - len(rows) * cell + 0.15,
                rf"$\|\delta\|_2$ {arrays['norm'][c]:.2f}",
                ha="center",
                va="top",
                fontsize=5,
            )
    plotted = {
        f"{'/'.join(row)}/{name}": array
        for row, (arrays, _) in zip(names, grids, strict=True)
        for name, array in arrays.items()
    }
    return axes.figure, (plotted, {"grids": [metadata for _, metadata in grids]})
