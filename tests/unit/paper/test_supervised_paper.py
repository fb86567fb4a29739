"""Tables 1 to 3 and Figures 1 to 4 from hand-made records."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from tests.unit.paper.test_paper import record
from uae import storage
from uae.paper import images, render
from uae.paper.figures import figure1, figure2, figure3

KNOWN = {"dataset": "cifar10", "variant": "digits-on-photos@9", "title": "t", "seed": 0}
RNG = np.random.default_rng(0)


def supervised(folder, method, dataset="cifar10", draw=None, settings=None, **metrics):
    made = record(method, **metrics)
    over = {"experiment": "supervised", "dataset": dataset, "model": "classifier", "variant": f"{dataset}@9"}
    over |= {"draw": draw, "settings": settings or {}}
    name = f"{dataset}-{method}-{draw}.json"
    made.model_copy(update=over).save(folder / name)


def shown(figure):
    """All images of a grid, and those under a red cross of two lines, as (H, W) or (H, W, C)."""
    (axes,) = figure.axes
    crosses = [line.get_xydata() for line in axes.lines if line.get_color() == "red"]
    spans = [tuple(np.stack([ends.min(0), ends.max(0)], 1).ravel()) for ends in crosses]
    crossed = [i for i in axes.images for span in spans[::2] if np.allclose(i.get_extent(), span)]
    assert len(spans) == 2 * len(crossed) and np.allclose(spans[::2], spans[1::2])
    return [i.get_array() for i in axes.images], [i.get_array() for i in crossed]


def same(found, expected):
    """Whether these are the images (C, H, W), in their order."""
    return len(found) == len(expected) and all(
        np.allclose(a, b.transpose(1, 2, 0).squeeze()) for a, b in zip(found, expected, strict=True)
    )


def test_table2_shows_runs_beside_the_paper_and_names_the_features(tmp_path):
    named = {"extractor": "Inception-v3", "resize": "299 × 299"}
    low = {"asr@0.03": 0.5}
    for draw, fid in enumerate((300.0, 320.0)):
        supervised(
            tmp_path, "random-sampling", draw=draw, settings=named, fid=fid, kid=0.5, n_attacked=9, **low
        )
    supervised(tmp_path, "convolution-output", settings=named, fid=310.0, kid=0.25, n_attacked=9)
    render.render("table2", [tmp_path], tmp_path)
    text = (tmp_path / "table2.md").read_text()
    assert "310.00 ± 14.14" in text and "339.47" in text and "344.23" in text and "0.25" in text
    assert "Features: Inception-v3. Images resized to: 299 × 299. Runs of random sampling: 2." in text
    latex = (tmp_path / "table2.tex").read_text()
    assert r"299 $\times$ 299" in latex and r"$\epsilon$ = 0.03" in latex


def test_table3_compares_within_a_critic(tmp_path):
    for method, mi in (("minmax", 51.0), ("penalty", 28.0), ("minmax-vanilla", 0.5)):
        supervised(tmp_path, method, "mnist", asr=1.0, mi_mean=mi, mi_late_gain=0.1, n_attacked=10)
    render.render("table3", [tmp_path], tmp_path)
    with (tmp_path / "table3.csv").open() as file:
        cells = {(r["method"], r["metric"]): r for r in csv.DictReader(file)}
    assert float(cells["minmax", "mi_mean"]["paper_value"]) == 51.29
    assert float(cells["penalty", "mi_mean"]["paper_value"]) == 28.28
    assert cells["minmax-vanilla", "mi_mean"]["paper_value"] == ""
    text = (tmp_path / "table3.md").read_text()
    assert text.index("Penalty |") < text.index("MinMax |") < text.index("MinMax (vanilla critic)")
    # The paper has no vanilla critic, and no row without a number.
    assert (
        text.count("| | paper |") == 2 and (tmp_path / "table3.tex").read_text().count(r"\emph{paper}") == 2
    )


def test_table1_has_a_row_a_definition(tmp_path):
    common = {
        "asr": 1.0,
        "n_attacked": 9,
        "mi_itself": 2.0,
        "loss_clean": 1.0,
        "loss_adv": 0.5,
        "l2_mean": 3.0,
    }
    supervised(tmp_path, "supervised-example", "mnist", mi_adv=1.9, prediction_changed=1.0, **common)
    supervised(tmp_path, "unsupervised-example", "mnist", mi_adv=0.1, **common)
    render.render("table1", [tmp_path], tmp_path)
    lines = (tmp_path / "table1.md").read_text().splitlines()
    one = next(line for line in lines if line.startswith("| Supervised"))
    two = next(line for line in lines if line.startswith("| Unsupervised"))
    assert "| 100.00% |" in one and "1.9" in one
    assert "| – |" in two and "0.1" in two


@pytest.fixture
def examples(tmp_path):
    methods = ["random-sampling", "convolution-output"]
    arrays = {name: RNG.random((3, 3, 8, 8), dtype=np.float32) for name in ("original", *methods)}
    arrays |= {f"predicted/{name}": np.array([1, 2, 3]) for name in ("original", *methods)}
    arrays |= {f"success/{name}": np.array([True, False, True]) for name in methods}
    path = tmp_path / "grid.safetensors"
    storage.write_tensors(path, arrays, KNOWN | {"eps": 0.03, "methods": methods})
    return path


@pytest.mark.parametrize("name", ["figure1", "figure4"])
def test_examples_are_drawn_and_the_same_twice(examples, tmp_path, name):
    contents = []
    for folder in ("a", "b"):
        render.render(name, [examples], tmp_path / folder)
        contents.append(
            [(tmp_path / folder / f"{name}.{s}").read_bytes() for s in ("pdf", "png", "safetensors")]
        )
    assert contents[0] == contents[1]


def test_a_failed_attack_is_crossed_out(examples):
    figure, (arrays, _) = figure1.draw([examples], 6.0)
    drawn, crossed = shown(figure)
    methods = ("random-sampling", "convolution-output")
    assert same(drawn, [image for name in ("original", *methods) for image in arrays[name]])
    failed = [image for name in methods for image in arrays[name][~arrays[f"success/{name}"]]]
    assert failed and same(crossed, failed)
    assert any("digits-on-photos@9" in text.get_text() for text in figure.axes[0].texts)
    assert arrays["original"].shape == (3, 3, 8, 8)


def test_classes_of_a_stand_in_are_not_named_after_cifar10():
    assert images.class_name("cifar10-jpeg", 3) == "cat"
    assert images.class_name("digits-on-photos@9", 3) == "3"


def test_figure3_has_a_column_a_bound(tmp_path):
    shape = (2, 3, 1, 8, 8)
    arrays = {"original": RNG.random((2, 1, 8, 8), dtype=np.float32)}
    for method in ("minmax", "pgd"):
        arrays[method] = RNG.random(shape, dtype=np.float32)
        arrays[f"success/{method}"] = np.array([[False, True, True], [True, True, True]])
    metadata = KNOWN | {"eps": [0.1, 0.5, 1.0], "methods": ["minmax", "pgd"]}
    storage.write_tensors(tmp_path / "g.safetensors", arrays, metadata)
    figure, _ = figure3.draw([tmp_path / "g.safetensors"], 6.0)
    drawn, crossed = shown(figure)
    assert len(drawn) == 2 * 2 * 4
    assert same(crossed, [arrays["minmax"][0, 0], arrays["pgd"][0, 0]])
    assert {"original", r"$\epsilon$ = 0.5"} <= {text.get_text() for text in figure.axes[0].texts}


def test_figure2_thins_its_curves_and_keeps_their_ends(tmp_path):
    steps = 9000
    arrays = {}
    for method in ("minmax", "penalty", "minmax-vanilla"):
        mean = np.linspace(0, 5, steps, dtype=np.float32)
        mean[:10] = np.nan  # no success yet
        arrays |= {f"{method}/mean": mean, f"{method}/std": mean / 9, f"{method}/count": np.full(steps, 7)}
    methods = ["minmax", "penalty", "minmax-vanilla"]
    storage.write_tensors(tmp_path / "c.safetensors", arrays, KNOWN | {"methods": methods})
    figure, numbers = figure2.draw([tmp_path / "c.safetensors"], 6.0)
    assert len(numbers) == 3 * figure2.POINTS
    ends = numbers[numbers["iteration"] == steps]
    assert ends["mean"].tolist() == [5, 5, 5] and set(numbers["critic"]) == {"released", "vanilla"}
    assert numbers["iteration"].min() == 1
    again = {name: array / 2 for name, array in arrays.items()}  # another seed's, which is not shown
    storage.write_tensors(tmp_path / "d.safetensors", again, KNOWN | {"methods": methods})
    _, both = figure2.draw([tmp_path / "c.safetensors", tmp_path / "d.safetensors"], 6.0)
    assert both.equals(numbers)
    labels = [text.get_text() for axes in figure.axes for text in axes.get_legend().get_texts()]
    assert labels == ["MinMax, 7 images", "Penalty, 7 images", "MinMax (vanilla critic), 7 images"]
