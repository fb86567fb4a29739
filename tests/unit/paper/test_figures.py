"""Figures on a page: of the committed records, as wide as asked for, nothing cut off at an edge."""

import contextlib
import importlib
from pathlib import Path

import pytest
from matplotlib import style
from matplotlib.backends.backend_agg import FigureCanvasAgg

from uae.errors import InputError
from uae.paper import figures, render
from uae.paper.layouts import items

RESULTS = Path(__file__).parents[3] / "results" / "reduced"
SHOWN = []
for results in (RESULTS, RESULTS.with_name("paper")):
    for name, item in items()["figures"].items():
        if "field" not in item:
            with contextlib.suppress(InputError):  # the scale has no records of the figure
                render.records_of(name, results)
                SHOWN.append((name, results))


def test_each_figure_has_committed_records():
    assert {name for name, _ in SHOWN} >= {
        "figure2",
        "figure3",
        "figure9",
        "figure10a",
        "theorem1",
        "estimator",
    }


@pytest.mark.parametrize("width", [figures.ONE_COLUMN, figures.TWO_COLUMNS])
@pytest.mark.parametrize(("name", "results"), SHOWN, ids=lambda value: getattr(value, "name", value))
@pytest.mark.parametrize("face", ["paper", "ieee"])
def test_a_figure_has_the_width_asked_for_and_all_of_it_is_inside(name, results, width, face):
    with style.context([figures.STYLE, figures.STYLES / f"{face}.mplstyle"]):
        draw = importlib.import_module(f"uae.paper.figures.{name}").draw
        figure, _ = draw(render.records_of(name, results), width)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        box = figure.get_tightbbox(canvas.get_renderer())
    assert figure.get_figwidth() == pytest.approx(width)
    assert box.x0 >= -0.005 and box.y0 >= -0.005
    assert box.x1 <= width + 0.005 and box.y1 <= figure.get_figheight() + 0.005


@pytest.mark.parametrize("width", [-1.0, 0.0, 0.3, 48.1, 900.0, float("nan"), float("inf")])
def test_a_width_that_no_page_has_is_refused(tmp_path, width):
    with pytest.raises(InputError, match="inches wide"):
        render.render("figure3", render.records_of("figure3", RESULTS), tmp_path, width)
    assert not list(tmp_path.iterdir())


def test_what_a_kill_left_beside_the_records_is_no_record(tmp_path):
    folder = tmp_path / "records" / "figure3" / "mnist"
    folder.mkdir(parents=True)
    for name in ("seed0.safetensors", ".seed0.safetensors.tmp", ".DS_Store"):
        (folder / name).touch()
    assert render.records_of("figure3", tmp_path) == [folder / "seed0.safetensors"]
