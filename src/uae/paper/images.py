"""Grids of images, for Figures 1 and 3 to 6."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from uae import storage
from uae.paper.figures import broken
from uae.paper.names import data_of, name_of

CIFAR10 = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
LINE = 0.14  # inches per line of small text
EDGE = 0.02  # inches between text and the figure's edge
SMALLEST = 0.5  # inches per image; images that do not fit are left out


def canvas(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure and axes over all of it, in inches from the lower left. Axes per image would be slower."""
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1), autoscale_on=False)
    axes.set(xlim=(0, width), ylim=(0, height))
    axes.set_axis_off()
    return figure, axes


def paint(axes: Axes, image: np.ndarray, left: float, bottom: float, size: float) -> None:
    """Draw an image (C, H, W) in [0, 1] as a square of a canvas."""
    pixels = np.clip(image.transpose(1, 2, 0), 0, 1).squeeze()
    extent = (left, left + size, bottom, bottom + size)
    axes.imshow(pixels, cmap="gray", vmin=0, vmax=1, interpolation="nearest", extent=extent, aspect="auto")


def fitting(images: int, width: float) -> int:
    """How many of `images` fit side by side into `width` inches, at least one."""
    return max(min(images, int(width / SMALLEST)), 1)


class Grid:
    """Square cells below a heading and, if there are any, column heads (`heads` inches for them).

    Positions are (row, column) from the upper left; columns may be fractions. margin: inches left of the
    first column.  line: inches below each row. A column is at most an inch wide.
    """

    def __init__(
        self,
        heading: str,
        width: float,
        rows: int,
        columns: int,
        margin: float,
        line: float = 0.0,
        heads: float = 0.0,
    ):
        self.cell = min((width - margin) / columns, 1.0)
        self.margin, self.step = margin, self.cell + line
        heading = broken(heading, width)
        self.above = EDGE + 0.08 + 0.12 * len(heading.splitlines()) + heads
        self.height = self.above + rows * self.step + 0.02
        self.figure, self.axes = canvas(width, self.height)
        self.text(heading, EDGE, self.height - EDGE, va="top", fontsize=7)

    def _top(self, row: int) -> float:
        return self.height - self.above - row * self.step

    def show(self, image: np.ndarray, row: int, column: int, failed: bool = False) -> None:
        """Draw an image (C, H, W) in [0, 1], under a red cross if its attack failed."""
        size = 0.94 * self.cell
        left, bottom = self.margin + column * self.cell, self._top(row) - size
        paint(self.axes, image, left, bottom, size)
        if failed:
            right, top = left + size, bottom + size
            self.axes.plot(
                [left, right],
                [bottom, top],
                [left, right],
                [top, bottom],
                color="red",
                lw=1.2,
                solid_capstyle="butt",
            )

    def text(self, text: str, x: float, y: float, **style: Any) -> None:
        """Write text at a position in inches from the lower left."""
        self.axes.text(x, y, text, **{"fontsize": 6.5} | style)

    def label(self, text: str, row: int) -> None:
        """Write beside a row, in the margin."""
        self.text(text, EDGE, self._top(row) - 0.47 * self.cell, va="center")

    def head(self, text: str, column: int) -> None:
        """Write above a column."""
        self.text(text, self._middle(column), self._top(0) + 0.03, ha="center", va="bottom")

    def below(self, text: str, row: int, column: int) -> None:
        """Write below an image."""
        y = self._top(row) - 0.94 * self.cell - 0.02
        self.text(text, self._middle(column), y, ha="center", va="top", fontsize=6)

    def _middle(self, column: int) -> float:
        return self.margin + (column + 0.47) * self.cell


def class_name(variant: str, label: int) -> str:
    return CIFAR10[label] if variant.startswith("cifar10") else str(label)


def described(metadata: dict[str, Any]) -> str:
    """The data of a figure, for its heading."""
    data = data_of(metadata["variant"], metadata["title"])
    return f"{name_of(metadata['dataset'])} (data: {data}), seed {metadata['seed']}"


def by_eps(
    metadata: dict[str, Any], eps: Sequence[float], width: float, rows: int, margin: float
) -> tuple[Grid, list[int]]:
    """Figures 3 and 6: a grid of originals, then a column per eps, in rising order, as many as fit.

    Returns the grid and the indices of these columns in `eps`; they are columns 1, 2, …
    """
    count = fitting(1 + len(eps), width - margin) - 1
    shown = np.linspace(0, len(eps) - 1, count).round().astype(int).tolist()
    heading = f"{described(metadata)}; a red cross: the attack failed"
    grid = Grid(heading, width, rows, 1 + count, margin, heads=0.14)
    for column, head in enumerate(["original", *(rf"$\epsilon$ = {eps[place]:g}" for place in shown)]):
        grid.head(head, column)
    return grid, shown


def examples(inputs: list[Path], width: float) -> tuple[Figure, tuple[dict[str, Any], dict[str, Any]]]:
    """Figures 1 and 4: originals and the examples of both ways to sample, with the predicted classes."""
    arrays, metadata = storage.read_tensors(inputs[0], "original", "predicted/original")
    methods, margin = metadata["methods"], 0.75
    count = fitting(len(arrays["original"]), width - margin)
    heading = rf"{described(metadata)}, $\epsilon={metadata['eps']:g}$; a red cross: the attack failed"
    grid = Grid(heading, width, 1 + len(methods), count, margin, line=LINE)
    for row, name in enumerate(["original", *methods]):
        grid.label(name_of(name).replace(" ", "\n"), row)
        success = arrays.get(f"success/{name}", np.ones(len(arrays["original"]), bool))
        for column in range(count):
            grid.show(arrays[name][column], row, column, failed=not success[column])
            label = class_name(metadata["variant"], int(arrays[f"predicted/{name}"][column]))
            grid.below(label, row, column)
    return grid.figure, (arrays, metadata)
