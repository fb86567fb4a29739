"""Figures 6 to 10 (a) and the table of robust models from hand-made records."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tests import record_files
from tests.unit.paper.test_supervised_paper import same, shown
from uae import records, storage
from uae.errors import InputError
from uae.paper import render, tables
from uae.paper.figures import figure6, figure7, figure8, figure9

FLAGS = [name for name in records.METRICS if name.startswith("flag_")]
PROVENANCE = {"training": records.Clock().provenance({}, "CPU, 1 threads")}


def save(folder, model, method, rates, dataset="mnist", seed=0, title="MNIST", **metrics):
    common = {"n_attacked": 10.0, "n_train": 60.0, "epochs": 3.0, "accuracy": 0.9} | metrics
    for eps, value in rates.items():
        common |= {f"asr@{eps}": value, f"asr_low@{eps}": value - 0.1, f"asr_high@{eps}": value + 0.05}
    found = records.Record(
        experiment="robustness", dataset=dataset, variant=f"{dataset}@60", title=title, model=model,
        method=method, seed=seed, metrics=common, settings={}, provenance=PROVENANCE,
    )  # fmt: skip
    path = record_files.path(folder / dataset / model, method, seed)
    found.save(path)
    return path


def test_curves_are_means_over_seeds_with_the_widest_bars(tmp_path):
    paths = [
        save(tmp_path, "adversarial-training", method, {0.1: value, 0.4: value + 0.2}, seed=seed)
        for method, values in (("original", (0.2, 0.4)), ("mine-uae", (0.1, 0.1)), ("matched", (0.3, 0.3)))
        for seed, value in enumerate(values)
    ]
    paths.append(save(tmp_path, "madry", "pgd", {0.1: 0.9}))
    paths.append(save(tmp_path, "adversarial-training", "original", {0.0627: 0.5}, dataset="cifar10",
                      title="stand-in: digits"))  # fmt: skip
    figure, numbers = figure9.draw(paths, 6.0)
    mnist, cifar = figure.axes
    assert len(numbers) == 13 and set(numbers["model"]) == {"adversarial-training"}
    line, (lower, upper), _ = mnist.containers[0]
    assert line.get_ydata() == pytest.approx([0.3, 0.5])
    # The methods stand beside each other, the middle one at eps
    apart = 0.012 * 0.4
    for container, shift in zip(mnist.containers, (-apart, 0, apart), strict=True):
        assert container[0].get_xdata() == pytest.approx([0.1 + shift, 0.4 + shift])
    assert lower.get_ydata() == pytest.approx([0.1, 0.3]) and upper.get_ydata() == pytest.approx([0.45, 0.65])
    assert "2 seeds" in mnist.get_title() and "stand-in: cifar10@60" in cifar.get_title()
    assert cifar.containers[0][0].get_xdata() == pytest.approx([0.0627 * 255])


def test_a_published_model_has_a_panel_that_says_so(tmp_path):
    """The longer attacks are lines of their model's panel."""
    published = {"n_train": 0.0, "epochs": 0.0}
    paths = [
        save(tmp_path, "trades", "pgd", {0.3: 0.4}),
        save(tmp_path, "trades-published", "minmax", {0.3: 0.1}, **published),
        save(tmp_path, "trades-published", "minmax-1000-steps", {0.3: 0.2}, **published),
        save(tmp_path, "madry", "pgd", {0.3: 0.9}),
    ]
    figure, numbers = figure8.draw(paths, 6.0)
    first, second = figure.axes
    assert "TRADES, published" in first.get_title() and "not trained here" in first.get_title()
    assert "trained on 60 for 3 epochs" in second.get_title()
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["MinMax", "PGD", "MinMax, step size 0.1, 1,000 steps"]
    assert numbers["model"].tolist() == ["trades-published", "trades-published", "trades"]


def test_an_attack_that_was_not_measured_is_left_out(tmp_path):
    figure, numbers = figure7.draw([save(tmp_path, "madry", "pgd", {0.1: 0.5})], 6.0)
    assert numbers["method"].tolist() == ["pgd"] and isinstance(numbers, pd.DataFrame)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["PGD"]


@pytest.mark.parametrize("name", ["figure8", "figure10a"])
def test_curves_are_the_same_twice(tmp_path, name):
    paths = [save(tmp_path, "madry", "pgd", {0.1: 0.5}), save(tmp_path, "trades", "minmax", {0.1: 0.4}),
             save(tmp_path, "adversarial-training", "matched", {0.1: 0.5}),
             save(tmp_path, "classifier", "original", {0.1: 0.5})]  # fmt: skip
    contents = []
    for folder in ("a", "b"):
        render.render(name, paths, tmp_path / folder)
        contents.append([(tmp_path / folder / f"{name}.{s}").read_bytes() for s in ("pdf", "png", "csv")])
    assert contents[0] == contents[1]


def test_figure6_crosses_the_failures(tmp_path):
    rng, paths = np.random.default_rng(0), []
    for model, variant in (("madry", "mnist-5k@9"), ("trades", "mnist")):
        arrays = {"original": rng.random((2, 1, 8, 8)), "eps": np.array([0.1, 0.5, 1.0])}
        for attack in ("minmax", "pgd"):
            arrays[attack] = rng.random((3, 2, 1, 8, 8))
            arrays[f"{attack}_success"] = np.array([[False, True], [True, True], [True, True]])
        metadata = {"dataset": "mnist", "variant": variant, "title": "MNIST", "model": model, "seed": 0}
        paths.append(tmp_path / f"{model}.safetensors")
        storage.write_tensors(paths[-1], arrays, metadata)
    figure, (plotted, _) = figure6.draw(paths, 6.0)
    drawn, crossed = shown(figure)
    assert len(drawn) == 2 * 2 * 2 * 4
    assert same(
        crossed, [plotted[f"mnist/{m}/{a}"][0, 0] for m in ("madry", "trades") for a in ("minmax", "pgd")]
    )
    words = {text.get_text() for text in figure.axes[0].texts}
    assert {"original", r"$\epsilon$ = 0.5", "Madry,\nMinMax", "TRADES,\nPGD\n(data: mnist)"} <= words
    assert plotted["mnist/trades/pgd"].shape == (3, 2, 1, 8, 8)

    storage.write_tensors(paths[-1], arrays | {"eps": np.array([0.2, 0.5, 1.0])}, metadata)
    with pytest.raises(InputError, match=r"trades.safetensors: the models are attacked at different eps"):
        figure6.draw(paths, 6.0)


def test_the_table_of_robust_models_shows_flags_beside_the_published_numbers(tmp_path):
    flags = dict.fromkeys(FLAGS, 0.0)
    for seed, bad in enumerate((0.0, 1.0)):
        save(
            tmp_path,
            "madry",
            "sanity",
            {},
            seed=seed,
            robust_accuracy=0.8,
            **flags | {"flag_transfer_wins": bad},
        )
    render.render("robust", [tmp_path], tmp_path)
    lines = (tmp_path / "robust.md").read_text().splitlines()
    ours = " ".join(line for line in lines if line.startswith("| Madry"))  # of both parts
    assert "90.00%" in ours and "80.00%" in ours and "flagged in 50%" in ours and ours.count("ok") == 4
    assert any("98.50%" in line and "89.60%" in line for line in lines)
    assert tables.tidy("table4", records.load(tmp_path)).empty


def test_a_check_that_was_not_measured_has_no_verdict_in_the_table(tmp_path):
    """A surrogate that gets no attacked image right leaves no transfer to compare."""
    flags = {name: 0.0 for name in FLAGS if name != "flag_transfer_wins"}
    save(tmp_path, "madry", "sanity", {}, robust_accuracy=0.8, **flags)
    render.render("robust", [tmp_path], tmp_path)
    lines = (tmp_path / "robust.md").read_text().splitlines()
    (checks,) = [line for line in lines if line.startswith("| Madry") and "ok" in line]
    assert checks.count("ok") == 4 and "flagged" not in checks
