"""SimCLR's stages and Figure 10 (b): what they measure, from hand-made data and records."""

import hashlib

import numpy as np
import pytest
import torch
from scipy.stats import binomtest

from uae import checkpoints, config, intervals, models, records, storage
from uae.attacks import AttackResult
from uae.contrastive import Contrastive
from uae.data import prepared
from uae.paper.figures import figure10b, render
from uae.paper.tables import tidy
from uae.stages import attack, evaluate, train

MEASURING = {
    "batch_size": 8,
    "temperature": 0.5,
    "linear": {"lr": 0.1, "batch_size": 8, "epochs": 60},
    "neighbours": 5,
    "pgd": {"eps": [0.01, 0.5], "images": 6, "steps": 3, "step_size": 0.01},
}


ORIGINAL = "checkpoints/cifar10/simclr/original/seed0.safetensors"
UAES = "uae/cifar10/simclr/mine-uae/seed0.safetensors"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """32 dark or bright images: classes that any encoder separates."""
    rng = np.random.default_rng(0)
    y = (np.arange(48) % 2).astype(np.int64)
    x = (rng.integers(0, 60, (48, 3, 16, 16)) + 190 * y[:, None, None, None]).astype(np.uint8)
    arrays = {"x_train": x[:32], "y_train": y[:32], "x_test": x[32:], "y_test": y[32:]}
    path = tmp_path_factory.mktemp("data") / "d.safetensors"
    metadata = {
        "dataset": "cifar10",
        "variant": "made-up",
        "title": "made up",
        "sha256": digest(arrays),
    }
    storage.write_tensors(path, arrays, metadata)
    return path


def digest(arrays):
    content = hashlib.sha256()
    for name in prepared.ARRAYS:
        content.update(np.ascontiguousarray(arrays[name]))
    return content.hexdigest()


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    """Original, UAEs, both retrained models and their records, as the workflow makes them."""
    folder = tmp_path_factory.mktemp("run")
    settings = {
        "network": "simclr", "training": "simclr", "arguments": {"width": 8}, "epochs": 2, "lr": 0.3,
        "warmup": 1, "batch_size": 12, "temperature": 0.5, "drop_last": True,
    }  # fmt: skip
    cfg = config.load()
    asked = cfg.contrastive.attacking(cfg.attacking("simclr", "mine-uae"))
    asked["attack"] |= {"steps": 2}
    asked["loss"] |= {"copies": 2}
    train.run(folder / ORIGINAL, data=data, settings=settings)
    attack.run(folder / UAES, data=data, checkpoint=folder / ORIGINAL, settings=asked)
    for method, sets in (("original", []), ("mine-uae", [folder / UAES]), ("matched", [])):
        checkpoint = folder / f"checkpoints/cifar10/simclr/{method}/seed0.safetensors"
        if method != "original":
            train.run(checkpoint, data=data, uae=sets, settings=settings)
        evaluate.run(
            folder / f"records/contrastive/cifar10/simclr/{method}/seed0.json",
            data=data, checkpoint=checkpoint, parents=[folder / ORIGINAL] * bool(sets), uae=sets,
            settings=MEASURING,
        )  # fmt: skip
    return folder


def test_records_say_what_was_run(run):
    found = {r.method: r for r in records.load(run / "records")}
    assert set(found) == {"original", "mine-uae", "matched"}
    # 32 images in batches of 12, the last incomplete: 2 steps; 64 images: 5.
    assert [found[m].metrics["steps"] for m in ("original", "mine-uae", "matched")] == [4, 10, 10]
    for record in found.values():
        assert record.experiment == "contrastive" and record.variant == "made-up"
        assert record.metrics["width"] == 8 and record.metrics["n_attacked"] == 6
        assert 0 <= record.metrics["asr@0.01"] <= record.metrics["asr@0.5"] <= 1
    assert "asr" in found["mine-uae"].metrics and "asr" not in found["matched"].metrics
    assert set(found["mine-uae"].provenance) == {"training", "attack", "evaluation"}


def test_classes_that_differ_in_brightness_are_found(run):
    for record in records.load(run / "records"):
        assert record.metrics["linear_accuracy"] == 1 == record.metrics["knn_accuracy"]


def test_successful_uaes_have_the_smaller_loss_over_the_same_views(run, data):
    result = AttackResult.load(run / UAES)
    model, _ = checkpoints.load(run / ORIGINAL)
    loss = Contrastive(model, seed=0, **result.metadata["loss"])
    x = prepared.load(data).unit("train")
    before, after = loss(x, x), loss(result.adv, x)
    torch.testing.assert_close(after, result.loss, atol=1e-4, rtol=0)
    assert (after[result.success] <= before[result.success] + 1e-4).all()
    assert torch.equal(result.adv[~result.success], x[~result.success])


def test_an_interrupted_checkpoint_is_named(run, data, tmp_path):
    path = tmp_path / "half.safetensors"
    path.write_bytes((run / ORIGINAL).read_bytes()[:500])
    with pytest.raises(records.BadFile, match=r"half\.safetensors: not a whole safetensors file"):
        attack.run(tmp_path / UAES, data=data, checkpoint=path, settings={})


def test_records_of_another_experiment_stay_out_of_a_table(run):
    loaded = records.load(run / "records")
    assert len(tidy("table4", loaded)) == 0
    cells = tidy("table7", loaded).set_index(["method", "metric"])
    assert cells.loc[("original", "contrastive_loss"), "paper_value"] == 0.29010
    assert cells.loc[("mine-uae", "linear_accuracy"), "paper_value"] == 0.9288


def test_wilson_agrees_with_scipy():
    for hits, count in ((0, 100), (7, 50), (100, 100), (431, 1000)):
        expected = binomtest(hits, count).proportion_ci(method="wilson")
        assert intervals.wilson(hits, count) == pytest.approx((expected.low, expected.high), abs=1e-12)
    with pytest.raises(ValueError, match="got 3 of 2"):
        intervals.wilson(3, 2)


def test_figure_10b_spans_the_intervals_of_the_seeds(run, tmp_path):
    """Seeds differ by more than the images of one seed: their images are not one sample."""
    record = records.read(run / "records/contrastive/cifar10/simclr/original/seed0.json")
    paths, metrics = [], record.metrics | {"n_attacked": 1000, "epochs": 2, "width": 8}
    metrics = {name: value for name, value in metrics.items() if not name.startswith("asr@")}
    for seed, rate in enumerate((0.4, 0.5, 0.6)):
        paths.append(tmp_path / f"{seed}.json")
        rates = {"asr@0.01": rate, "asr@0.02": 1.0}
        record.model_copy(update={"seed": seed, "metrics": metrics | rates}).save(paths[-1])
    figure, numbers = figure10b.draw(paths, 3.3)
    line, (lower, upper), _ = figure.axes[0].containers[0]
    assert line.get_xdata() == pytest.approx([0.01, 0.02]) and line.get_ydata() == pytest.approx([0.5, 1])
    assert lower.get_ydata()[0] == pytest.approx(intervals.wilson(400, 1000)[0])
    assert upper.get_ydata()[0] == pytest.approx(intervals.wilson(600, 1000)[1])
    assert numbers["seed"].tolist() == [0, 0, 1, 1, 2, 2]
    render("figure10b", paths, tmp_path)
    once = (tmp_path / "figure10b.pdf").read_bytes()
    render("figure10b", paths, tmp_path)
    assert (tmp_path / "figure10b.pdf").read_bytes() == once
    assert figure10b.WIDTH > 3


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("warmup", 99, "warmup: 99 epochs, must be fewer than the 4 epochs"),
        ("width", 12, "contrastive.width: .*multiple of 8"),
        ("methods", ["l2-uae"], r"contrastive.methods.0: .*'mine-uae', 'mine-uae-released' or 'matched'"),
        ("data", "cifar", "no data set 'cifar'"),
    ],
)
def test_a_setting_that_can_not_be(key, value, message):
    changed = {"contrastive": {key: value}}
    with pytest.raises(records.InputError, match=message):
        config.load(changed)


def test_settings_of_the_paper():
    cfg = config.load({"scale": "paper"})
    block = cfg.contrastive
    original, retrained = block.training("original"), block.training("mine-uae")
    assert (original["epochs"], retrained["epochs"], original["batch_size"]) == (1000, 1500, 512)
    assert (block.width, block.temperature, block.lr) == (64, 0.5, 1.0)
    attack = block.attacking(cfg.attacking("simclr", "mine-uae"))
    assert (attack["attack"]["steps"], attack["attack"]["decay_power"]) == (20, 0.5)
    assert attack["loss"] == {"copies": 50, "views": 2, "amp": False, "temperature": 0.5}
    assert attack["layer"] is None  # the first convolution itself
    measured = block.measuring()
    assert measured["linear"]["epochs"] == 100 and measured["pgd"]["images"] == 1000
    assert measured["pgd"]["steps"] == 100 and measured["pgd"]["step_size"] == 0.01
    assert max(measured["pgd"]["eps"]) <= 16 / 255
    model = models.build("simclr", (3, 32, 32), **original["arguments"])
    assert model.encoder.dim == 512
