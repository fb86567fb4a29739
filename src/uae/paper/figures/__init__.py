"""Figures: one module each, with a function `draw(inputs, width) -> (figure, numbers)`.

inputs: the files that the figure is made from; width: inches. `numbers` are what is plotted: a data
frame, or for image grids arrays by name and metadata. `render` writes the PDF, the PNG and the numbers.
"""

from __future__ import annotations

import importlib
from pathlib import Path

import matplotlib
import pandas as pd

matplotlib.use("agg")

from matplotlib import pyplot as plt

from uae import storage
from uae.paper.layouts import layouts

STYLE = Path(__file__).parents[1] / "paper.mplstyle"
ONE_COLUMN, TWO_COLUMNS = 3.25, 6.75  # inches

# Okabe and Ito's palette, told apart by colour-blind readers; markers and dashes tell them apart in grey.
COLORS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]
MARKERS = ["o", "s", "^", "D", "v", "P", "x"]


def names() -> list[str]:
    return sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py"))


def _in_the_papers_order(path: Path) -> tuple[list[int], Path]:
    """MNIST before CIFAR-10, as the names of tables.yaml stand, however the files were listed."""
    order = list(layouts()["names"])
    return [order.index(part) if part in order else len(order) for part in path.parts], path


def render(
    name: str, inputs: list[Path], folder: Path, width: float | None = None, style: str | None = None
) -> None:
    """Draw one figure and write <name>.pdf, .png and its numbers, .csv or .safetensors.

    style: one of the package's styles (ieee), or a matplotlib style's name or file, on top of its default.
    """
    own = STYLE.parent / "styles" / f"{style}.mplstyle"
    style = str(own) if own.exists() else style
    module = importlib.import_module(f"uae.paper.figures.{name}")
    inputs = sorted(inputs, key=_in_the_papers_order)
    with plt.style.context([STYLE, style] if style else [STYLE]):
        figure, numbers = module.draw(inputs, width or module.WIDTH)
        # No dates: the same records give the same bytes.
        for suffix, metadata in (("pdf", {"CreationDate": None}), ("png", {"Software": None})):
            with storage.atomic(folder / f"{name}.{suffix}") as file:
                figure.savefig(file, format=suffix, metadata=metadata)
        plt.close(figure)
    if isinstance(numbers, pd.DataFrame):
        storage.write_text(folder / f"{name}.csv", numbers.to_csv(index=False, float_format="%.8g"))
    else:
        storage.write_tensors(folder / f"{name}.safetensors", *numbers)
