"""Grids of images: what Figures 1, 3 and 4 share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import pyplot as plt

from uae import storage
from uae.paper.tables import name_of

CIFAR10 = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
LINE = 0.14  # inches a line of small text takes


class Grid:
    """Square cells of `cell` inches below a title; positions are (row, column) from the upper left.

    margin: inches left of the first column.  line: inches below each row.
    """

    def __init__(self, width: float, rows: int, columns: int, margin: float, line: float = 0.0):
        self.cell = (width - margin) / columns
        self.margin, self.step, self.title = margin, self.cell + line, 0.3
        self.width, self.height = width, self.title + rows * self.step + 0.02
        self.figure = plt.figure(figsize=(self.width, self.height))

    def _top(self, row: int) -> float:
        return self.height - self.title - row * self.step

    def show(self, image: np.ndarray, row: int, column: int, failed: bool = False) -> None:
        """An image (C, H, W) in [0, 1]; a failed attack's under a red cross."""
        size = 0.94 * self.cell
        left, bottom = self.margin + column * self.cell, self._top(row) - size
        box = (left / self.width, bottom / self.height, size / self.width, size / self.height)
        axes = self.figure.add_axes(box)
        pixels = np.clip(image.transpose(1, 2, 0), 0, 1).squeeze()
        axes.imshow(pixels, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        if failed:
            axes.plot([0, 1], [0, 1], [0, 1], [1, 0], transform=axes.transAxes, color="red", lw=1.2)
        axes.set_axis_off()

    def text(self, text: str, row: float, column: float, below: bool = False, **style: Any) -> None:
        """A line centred under a cell, or vertically centred from the left at a column."""
        style = {"fontsize": 6.5} | style
        x = self.margin + column * self.cell
        y = self._top(row) - (self.cell if below else 0.47 * self.cell)
        if below:
            style = {"ha": "center", "va": "top"} | style
            x += 0.47 * self.cell
        else:
            style = {"va": "center"} | style
        self.figure.text(x / self.width, y / self.height, text, **style)

    def heading(self, text: str) -> None:
        self.figure.text(0, 1, text, va="top", fontsize=7)


def class_name(variant: str, label: int) -> str:
    return CIFAR10[label] if variant.startswith("cifar10") else str(label)


def described(metadata: dict[str, Any]) -> str:
    """The data of a figure, for its heading."""
    return f"{name_of(metadata['dataset'])} (data: {metadata['variant']}), seed {metadata['seed']}"


def examples(inputs: list[Path], width: float) -> tuple[plt.Figure, tuple[dict[str, Any], dict[str, Any]]]:
    """Figures 1 and 4: originals and the examples of both ways to sample, with the predicted classes."""
    arrays, metadata = storage.read_tensors(inputs[0], "original", "predicted/original")
    methods, count = metadata["methods"], len(arrays["original"])
    grid = Grid(width, 1 + len(methods), count, margin=1.05, line=LINE)
    share = [f"{name_of(m)} {int(arrays[f'success/{m}'].sum())}/{count}" for m in methods]
    grid.heading(
        rf"{described(metadata)}, $\epsilon$ = {metadata['eps']:g}; a red cross: the attack failed. "
        f"Successes: {', '.join(share)}"
    )
    for row, name in enumerate(["original", *methods]):
        grid.text(name_of(name).replace(" ", "\n"), row, -1.05 / grid.cell, fontsize=7)
        success = arrays.get(f"success/{name}", np.ones(count, bool))
        for column in range(count):
            grid.show(arrays[name][column], row, column, failed=not success[column])
            label = class_name(metadata["variant"], int(arrays[f"predicted/{name}"][column]))
            grid.text(label, row, column, below=True, fontsize=6)
    return grid.figure, (arrays, metadata)
