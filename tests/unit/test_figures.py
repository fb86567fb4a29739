"""Figures on a page: of the committed records, as wide as asked for, nothing cut off at an edge."""

import importlib
from pathlib import Path

import pytest
from matplotlib import style
from matplotlib.backends.backend_agg import FigureCanvasAgg

from uae.paper import figures, render
from uae.paper.layouts import items

RESULTS = Path(__file__).parents[2] / "results" / "paper"
SHOWN = [
    name for name, item in items()["figures"].items() if (RESULTS / "records" / item["records"]).exists()
]


@pytest.mark.parametrize("width", [figures.ONE_COLUMN, figures.TWO_COLUMNS])
@pytest.mark.parametrize("name", SHOWN)
@pytest.mark.parametrize("face", ["paper", "styles/ieee"])
def test_a_figure_has_the_width_asked_for_and_all_of_it_is_inside(name, width, face):
    with style.context([figures.STYLE, figures.STYLE.parent / f"{face}.mplstyle"]):
        draw = importlib.import_module(f"uae.paper.figures.{name}").draw
        figure, _ = draw(render.records_of(name, RESULTS), width)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        box = figure.get_tightbbox(canvas.get_renderer())
    # A grid of few images need not fill the width.
    assert 0.8 * width - 1e-9 <= figure.get_figwidth() <= width + 1e-9
    assert box.x0 >= -0.005 and box.y0 >= -0.005
    assert box.x1 <= figure.get_figwidth() + 0.005 and box.y1 <= figure.get_figheight() + 0.005
