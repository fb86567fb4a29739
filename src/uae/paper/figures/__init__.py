"""Figures: one module each, with a function `draw(inputs, width) -> (figure, numbers)`.

inputs: the files that the figure is made from; width: inches. `numbers` has the plotted values: a data frame
or, for image grids, arrays by name and metadata. `render` writes the PDF, the PNG and the numbers.
"""

from __future__ import annotations

import importlib
import textwrap
from pathlib import Path

from matplotlib import style as styles
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from uae import storage
from uae.errors import InputError
from uae.paper import escape
from uae.paper.layouts import layouts

STYLES = Path(__file__).with_name("styles")
STYLE = STYLES / "paper.mplstyle"
ONE_COLUMN, TWO_COLUMNS = 3.25, 6.75  # inches
NARROWEST, WIDEST = 2.0, 48.0  # inches: the width of a poster
NARROW = 2.5  # inches: below it a chart has no room for its labels

# Okabe and Ito's palette, which colour-blind readers can distinguish. Markers and dashes differ in grey, too.
COLORS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]
MARKERS = ["o", "s", "^", "D", "v", "P", "x"]


def broken(text: str, width: float) -> str:
    """Wrap the text into lines of `width` inches at 7 points, at hyphens only if a word is longer.

    Its own line breaks stay.

    >>> broken("Mice Protein\\nmice-protein-as-published-csv", 1.2)
    'Mice Protein\\nmice-protein-as-\\npublished-csv'
    """
    letters = max(int(width * 72 / (0.56 * 7)), 1)  # DejaVu Serif's letters are 0.56 of their size

    def wrapped(line: str) -> str:
        long = any(len(word) > letters for word in line.split())
        return textwrap.fill(line, letters, break_long_words=False, break_on_hyphens=long)

    return "\n".join(map(wrapped, text.split("\n")))


def panels(width: float, count: int = 1, columns: int = 1) -> tuple[Figure, list[Axes]]:
    """A figure of `count` charts, row after row, or in one column if several would be too narrow."""
    columns = columns if width / columns > NARROW else 1
    rows = -(-count // columns)
    figure = Figure(figsize=(width, rows * min(0.65 * width / columns, 2.8)), layout="constrained")
    return figure, list(figure.subplots(rows, columns, squeeze=False).flat)


def title(axes: Axes, text: str) -> None:
    """The title above a chart, wrapped into lines."""
    figure, grid = axes.figure, axes.get_gridspec()
    assert isinstance(figure, Figure) and grid is not None  # they come from `panels`
    room = figure.get_figwidth() / grid.ncols - 0.5  # inches
    axes.set_title(broken(text, room), fontsize=7, y=1.0)  # given, else all tick labels are measured for it


def _in_the_papers_order(path: Path) -> tuple[list[int], Path]:
    """Sort by data set in the order of tables.yaml: MNIST before CIFAR-10, in any order of the files."""
    order = list(layouts()["names"])
    return [order.index(part) if part in order else len(order) for part in path.parts], path


def render(
    name: str, inputs: list[Path], folder: Path, width: float | None = None, style: str | None = None
) -> None:
    """Draw one figure and write <name>.pdf, .png and its numbers, .csv or .safetensors.

    style: a style of the package (ieee), or a matplotlib style's name or file, applied to the default.
    """
    if width is not None and not NARROWEST <= width <= WIDEST:
        raise InputError(f"a figure must be {NARROWEST:g} to {WIDEST:g} inches wide, given {width:g}")
    own = STYLES / f"{style}.mplstyle"
    style = str(own) if own.exists() else style
    module = importlib.import_module(f"uae.paper.figures.{name}")
    inputs = sorted(inputs, key=_in_the_papers_order)
    with styles.context([STYLE, style] if style else [STYLE]):
        figure, numbers = module.draw(inputs, module.WIDTH if width is None else width)
        if engine := figure.get_layout_engine():  # once for both files: it takes as long as drawing
            engine.execute(figure)
            figure.set_layout_engine(None)
        # No dates: the same records give the same bytes.
        for suffix, metadata in (("pdf", {"CreationDate": None}), ("png", {"Software": None})):
            with storage.atomic(folder / f"{name}.{suffix}") as file:
                figure.savefig(file, format=suffix, metadata=metadata)
    if isinstance(numbers, tuple):
        storage.write_tensors(folder / f"{name}.safetensors", *numbers)
    else:
        text = escape.cells(numbers).to_csv(index=False, float_format="%.8g")
        storage.write_text(folder / f"{name}.csv", text)
