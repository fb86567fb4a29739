"""Figure 6: what MinMax and PGD make of MNIST images on two robust models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import pyplot as plt

from uae import storage
from uae.paper.figures import TWO_COLUMNS
from uae.paper.tables import name_of

WIDTH = TWO_COLUMNS
ATTACKS = ("minmax", "pgd")


def draw(inputs: list[Path], width: float) -> tuple[plt.Figure, tuple[dict[str, Any], dict[str, Any]]]:
    """A row an image and attack, a column an eps; failures are crossed.

    Each input holds one model's images (`uae.stages.robustness.attack`): original (n, C, H, W), eps (E,), and
    for each attack its examples (E, n, C, H, W) and successes (E, n).
    """
    needed = ["original", "eps", *ATTACKS, *(f"{attack}_success" for attack in ATTACKS)]
    grids = [storage.read_tensors(path, *needed) for path in inputs]
    columns = 1 + max(len(arrays["eps"]) for arrays, _ in grids)
    rows = sum(len(ATTACKS) * len(arrays["original"]) for arrays, _ in grids)
    left, title = 0.5, 0.36
    cell = min((width - left) / columns, 0.75)
    height = rows * cell + len(grids) * title
    figure = plt.figure(figsize=(width, height))
    top = height

    def text(x: float, y: float, words: str, **style: Any) -> None:
        figure.text(x / width, y / height, words, **{"fontsize": 7, "va": "center"} | style)

    for arrays, metadata in grids:
        text(0, top - 0.1, f"{name_of(metadata['model'])} on {name_of(metadata['dataset'])} "
             f"(data: {metadata['variant']}), seed {metadata['seed']}")  # fmt: skip
        heads = ["original", *(rf"$\epsilon = {eps:g}$" for eps in arrays["eps"])]
        for column, head in enumerate(heads):
            text(left + (column + 0.48) * cell, top - 0.26, head, ha="center", fontsize=6)
        top -= title
        for attack in ATTACKS:
            for sample, original in enumerate(arrays["original"]):
                top -= cell
                text(0, top + cell / 2, name_of(attack))
                images = [original, *arrays[attack][:, sample]]
                failed = [False, *~arrays[f"{attack}_success"][:, sample]]
                for column, (image, cross) in enumerate(zip(images, failed, strict=True)):
                    size = 0.95 * cell
                    place = ((left + column * cell) / width, top / height, size / width, size / height)
                    axes = figure.add_axes(place)
                    shown = np.clip(image.transpose(1, 2, 0), 0, 1).squeeze()
                    axes.imshow(shown, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
                    if cross:
                        for ends in ((0, 1), (1, 0)):
                            axes.plot((0, 1), ends, color="#d62728", lw=1.2, transform=axes.transAxes)
                    axes.set_axis_off()
    plotted = {
        f"{metadata['dataset']}/{metadata['model']}/{name}": array
        for arrays, metadata in grids
        for name, array in arrays.items()
    }
    return figure, (plotted, {"grids": [metadata for _, metadata in grids]})
