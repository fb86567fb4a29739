"""The supervised stages end to end on a small data set: sets, records, curves and images agree."""

from __future__ import annotations

import hashlib
import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.stats
import torch
from torch.nn import functional as F

import uae
from uae import checkpoints, models, records, storage
from uae.attacks import AttackResult
from uae.data import prepared
from uae.evaluation import image_distance
from uae.mine import Estimator
from uae.sampling import Features, RandomSampling
from uae.stages import attack, evaluate, train
from uae.stages.evaluate import classifiers

MINE = {"critic": "vanilla", "inner_steps": 1, "lr": 1e-3}
COMMON = {"eps": 1.0, "alpha": 0.3, "kappa": 0.0}


def mine_set(name, attack="minmax", draw=None, images=7, **over):
    settings = {"attack": attack, "images": images, "settings": COMMON | over, "mine": MINE}
    if draw is not None:
        settings["random_sampling"] = {"count": 4, "dim": 8}
    return {"name": name, "draw": draw, "settings": settings}


def pgd_set(eps):
    settings = {"attack": "pgd", "images": 7, "settings": {"eps": eps, "steps": 5}}
    return {"name": f"pgd@{eps:g}", "draw": None, "settings": settings}


TABLE3 = [mine_set("minmax", steps=30, beta=1.0), mine_set("penalty", "penalty", steps=10, searches=3)]
for entry in TABLE3:
    entry["settings"]["trace"] = True
SECOND = mine_set("second-convolution-output", steps=20, beta=1.0)
SECOND["settings"]["layer"] = "features.3"  # with its activation
SETS = [
    *TABLE3,
    *(mine_set("convolution-output" + s, steps=20, beta=1.0, eps=e) for s, e in (("", 1.0), ("@0.03", 0.03))),
    *(mine_set("random-sampling", draw=d, steps=20, beta=1.0) for d in (0, 1)),
    SECOND,
    mine_set("random-sampling@0.03", draw=0, steps=20, beta=1.0, eps=0.03),
    *(mine_set(f"minmax@{eps:g}", steps=20, beta=1.0, eps=eps) for eps in (0.1, 1.0)),
    pgd_set(0.1),
    pgd_set(1.0),
]


def write_data(path, count=40, seed=0):
    """Bright quadrants under noise, in the form of prepared data."""
    rng = np.random.default_rng(seed)
    arrays = {}
    for part in ("train", "test"):
        y = rng.integers(0, 4, count)
        x = rng.integers(0, 90, (count, 1, 16, 16))
        for i, label in enumerate(y):
            row, column = 8 * (label // 2), 8 * (label % 2)
            x[i, 0, row : row + 8, column : column + 8] += 150
        arrays |= {f"x_{part}": x.astype(np.uint8), f"y_{part}": y.astype(np.int64)}
    content = hashlib.sha256()
    for name in prepared.ARRAYS:
        content.update(np.ascontiguousarray(arrays[name]))
    known = {"dataset": "mnist", "variant": "quadrants", "title": "Quadrants"}
    storage.write_tensors(path, arrays, known | {"sha256": content.hexdigest()})


CHECKPOINT = "checkpoints/mnist/classifier/original/seed0.safetensors"
AUTOENCODER = "checkpoints/mnist/convolutional/original/seed0.safetensors"
UAES = "uae/mnist/convolutional/mine-uae/seed0.safetensors"


def example_set(folder, name, draw=None):
    run = "seed0" if draw is None else f"seed0-draw{draw}"
    return folder / "uae" / "mnist" / "classifier" / name / f"{run}.safetensors"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a run: data, checkpoint, sets and records."""
    folder = tmp_path_factory.mktemp("supervised")
    data, checkpoint = folder / "data.safetensors", folder / CHECKPOINT
    write_data(data)
    settings = {"network": "carlini-wagner", "arguments": {"widths": [8, 8, 16], "classes": 4}}
    settings |= {"epochs": 12, "batch_size": 4, "lr": 0.01, "momentum": 0.9, "decay": 1e-6}
    files = {"data": data, "checkpoint": checkpoint}
    train.run(checkpoint, data=data, settings=settings)
    for entry in SETS:
        attack.run(example_set(folder, entry["name"], entry["draw"]), **files, settings=entry["settings"])

    autoencoder = models.build("convolutional", (1, 16, 16), widths=(4, 2)).eval()
    known = {"network": "convolutional", "arguments": {"widths": [4, 2]}, "shape": [1, 16, 16]}
    provenance = records.Clock().provenance({}, "CPU, 1 threads").model_dump()
    known |= {"settings": {}, "seed": 0, "method": "original", "n_train": 40, "provenance": provenance}
    checkpoints.save(folder / AUTOENCODER, autoencoder, known)
    n = 6
    examples = AttackResult(
        adv=torch.rand(n, 1, 16, 16),
        success=torch.tensor([True] * 5 + [False]),
        mi=torch.rand(n),
        loss=torch.ones(n),
        loss_clean=2 * torch.ones(n),
        step=torch.ones(n, dtype=torch.int64),
        index=torch.arange(n),
        metadata={"attack": {}, "provenance": provenance},
    )
    examples.save(folder / UAES)

    def measure(record, *names, settings, draw=None, **inputs):
        sets = [example_set(folder, *(name if isinstance(name, tuple) else (name,))) for name in names]
        target = folder / "records" / record
        if names:
            one = target.suffix == ".json" and "bounds" not in record
            inputs |= files | {"uae": sets[0] if one else sets}
        evaluate.run(target, settings=settings, **inputs)

    classifier = "mnist/classifier"
    estimator = {"images": 4, "critic_steps": 5, "critic_lr": 1e-3}
    paired = {"minmax": [], "penalty": [example_set(folder, "minmax")]}
    for method, others in paired.items():
        record = f"table3/{classifier}/{method}/seed0.json"
        measure(record, method, paired=others, settings={"estimator": estimator})
    curves = {"methods": ["minmax", "penalty"]}
    measure(f"figure2/{classifier}/seed0.safetensors", "minmax", "penalty", settings=curves)
    table2 = {"inception": None, "independent": None, "eps": 0.03}
    measure(f"table2/{classifier}/unattacked/seed0.json", "convolution-output", settings=table2)
    for method, draw in [
        ("convolution-output", None), ("random-sampling", 0), ("random-sampling", 1),
        ("second-convolution-output", None),
    ]:  # fmt: skip
        run = "seed0" if draw is None else f"seed0-draw{draw}"
        pictured = not draw and not method.startswith("second")
        smaller = [example_set(folder, f"{method}@0.03", draw)] * pictured
        record = f"table2/{classifier}/{method}/{run}.json"
        third = {"independent": 7} if method == "convolution-output" else {}  # as many images as examples
        measure(record, (method, draw), smaller=smaller, settings=table2 | third)
    pictured = [("convolution-output", None), ("random-sampling", 0)]
    for figure, eps, suffix in (("figure1", 1.0, ""), ("figure4", 0.03, "@0.03")):
        shown = {"eps": eps, "methods": [method for method, _ in pictured], "shown": 3}
        sets = [(method + suffix, draw) for method, draw in pictured]
        measure(f"{figure}/{classifier}/seed0.safetensors", *sets, settings=shown)
    over = {method: [f"{method}@{eps:g}" for eps in (0.1, 1.0)] for method in ("minmax", "pgd")}
    for method, names in over.items():
        measure(f"bounds/{classifier}/{method}/seed0.json", *names, settings={"eps": [0.1, 1.0]})
    shown = {"eps": [0.1, 1.0], "shown": 3}
    measure(f"figure3/{classifier}/seed0.safetensors", *over["minmax"], *over["pgd"], settings=shown)

    estimator = {"estimator": estimator | {"random_sampling": {"count": 4, "dim": 8}}}
    measure(f"table1/{classifier}/supervised-example/seed0.json", "minmax@1", settings=estimator)
    other = {"data": data, "checkpoint": folder / AUTOENCODER, "uae": folder / UAES}
    for method, name in (
        ("mine-uae", "unsupervised-example"),
        ("mine-uae-released", "unsupervised-example-released"),
    ):
        record = f"table1/mnist/convolutional/{name}/seed0.json"
        measure(record, settings=estimator | {"method": method}, **other)
    return folder


def load(run, path):
    return records.read(run / "records" / path)


def test_only_correctly_classified_test_images_are_attacked(run):
    source = prepared.load(run / "data.safetensors")
    model, _ = checkpoints.load(run / CHECKPOINT)
    x, y = source.unit("test"), torch.from_numpy(source.y_test)
    right = model(x).argmax(1) == y
    first = AttackResult.load(run / "uae/mnist/classifier" / "minmax" / "seed0.safetensors")
    assert len(first) == 7 and right[first.index].all() and first.eligible.all()
    for path in sorted((run / "uae/mnist/classifier").rglob("*.safetensors")):
        found = AttackResult.load(path)
        assert torch.equal(found.index, first.index)  # the same images for every attack
        eps = found.metadata["attack"]["eps"]
        asked = next(e for e in SETS if e["name"] == path.parent.name)["settings"]
        assert eps == asked["settings"]["eps"]
        if "mine" in asked:  # the critic is the one asked for
            assert {k: found.metadata["attack"]["mi"][k] for k in MINE} == asked["mine"]
        assert (found.adv - x[found.index]).abs().max() <= eps + 1e-6
        assert found.adv.min() >= 0 and found.adv.max() <= 1
        wrong = model(found.adv).argmax(1) != y[found.index]
        assert torch.equal(found.success, wrong & found.success)  # a success is misclassified


def estimate(features, x, z):
    """Mean MI of pairs by Tables 1 and 3's estimator: a new critic a pair, five steps, each estimated."""
    with torch.no_grad():
        x, z = features(x), features(z)
    critics = Estimator(uae.MINE(inner_steps=1, lr=1e-3), x, None, 0, torch.arange(len(x)))
    return [critics.estimate(x, z)[0].mean().item() for _ in range(5)][-1]


@pytest.mark.parametrize("method", ["minmax", "penalty"])
def test_table_3_and_the_curves_of_figure_2(run, method):
    found = load(run, f"table3/mnist/classifier/{method}/seed0.json")
    result = AttackResult.load(run / "uae/mnist/classifier" / method / "seed0.safetensors")
    assert found.experiment == "supervised" and found.variant == "quadrants"
    assert found.metrics["n_attacked"] == 7 and found.metrics["n_train"] == 40
    assert result.success.any()
    assert found.metrics["asr"] == pytest.approx(result.success.double().mean().item())
    assert found.metrics["mi_mean"] == pytest.approx(result.mi[result.success].mean().item())
    model, _ = checkpoints.load(run / CHECKPOINT)
    rows = result.success.nonzero()[:4, 0]
    x, adv = prepared.load(run / "data.safetensors").unit("test")[result.index[rows]], result.adv[rows]
    for name, z in (("mi_itself", x), ("mi_adv", adv), ("mi_other", x.roll(-1, 0))):
        expected = estimate(lambda t: model.features[0](t).flatten(2), x, z)
        assert found.metrics[name] == pytest.approx(expected, abs=1e-5), name
    if method == "penalty":
        other = AttackResult.load(run / "uae/mnist/classifier/minmax/seed0.safetensors")
        ok = result.success & other.success  # of the same images, in one order
        more = (other.mi - result.mi)[ok].double().numpy()
        assert found.metrics["n_common"] == ok.sum() > 1
        assert found.metrics["mi_minmax_more"] == pytest.approx(more.mean())
        assert found.metrics["mi_minmax_more_error"] == pytest.approx(scipy.stats.sem(more))
        assert found.metrics["mi_minmax_more_often"] == pytest.approx((more > 0).mean())
    arrays, metadata = storage.read_tensors(run / "records/figure2/mnist/classifier/seed0.safetensors")
    assert metadata["methods"] == ["minmax", "penalty"]
    mean, count = arrays[f"{method}/mean"], arrays[f"{method}/count"]
    assert mean.shape == count.shape == (30,)
    ends = result.trace[:, -1][result.trace[:, -1].isfinite()].double()
    assert arrays[f"{method}/std"][-1] == pytest.approx(ends.std(correction=0).item(), rel=1e-4)
    # The last point of the curve is Table 3's number.
    assert mean[-1] == pytest.approx(found.metrics["mi_mean"], rel=1e-5)
    assert count[-1] == result.success.sum() and (np.diff(count) >= 0).all()
    early = result.trace[:, 14].isfinite()
    if early.any():
        gain = (result.trace[early, -1] - result.trace[early, 14]).mean().item()
        assert found.metrics["mi_late_gain"] == pytest.approx(gain, abs=1e-6) and gain >= 0
    else:
        assert "mi_late_gain" not in found.metrics


def frechet(a, b):
    """The squared Frechet distance of two Gaussians with the samples' moments."""
    covariances = np.cov(a.T), np.cov(b.T)
    # Of the product's root the trace is the sum of its eigenvalues' roots; the fewer samples are singular.
    root = np.sqrt(np.linalg.eigvals(covariances[0] @ covariances[1]).real.clip(0)).sum()
    return np.square(a.mean(0) - b.mean(0)).sum() + np.trace(sum(covariances)) - 2 * root


def test_table_2_and_its_images(run):
    folder = "table2/mnist/classifier"
    clean = load(run, f"{folder}/unattacked/seed0.json").metrics
    convolution = load(run, f"{folder}/convolution-output/seed0.json")
    draws = [load(run, f"{folder}/random-sampling/seed0-draw{d}.json") for d in (0, 1)]
    assert convolution.metrics["compressed_samples"] == 8 and draws[0].metrics["compressed_samples"] == 4
    assert all(r.metrics["kid_subset"] == 7 for r in (convolution, *draws))  # never more than examples
    second = load(run, f"{folder}/second-convolution-output/seed0.json")
    assert "asr@0.03" not in second.metrics and second.settings["attack"]["layer"] == "features.3"
    examples = [AttackResult.load(run / "uae/mnist/classifier" / name / "seed0.safetensors").mi
                for name in ("convolution-output", "second-convolution-output")]  # fmt: skip
    assert not torch.allclose(*examples)
    assert convolution.metrics["fid"] > clean["fid"] and draws[0].metrics["fid"] != draws[1].metrics["fid"]
    source = prepared.load(run / "data.safetensors")
    model, _ = checkpoints.load(run / CHECKPOINT)
    with torch.no_grad():
        real, fake = (
            model.penultimate(t).double().numpy()
            for t in (
                source.unit("train"),
                AttackResult.load(run / "uae/mnist/classifier/convolution-output/seed0.safetensors").adv,
            )
        )
    assert convolution.metrics["fid"] == pytest.approx(frechet(real, fake), rel=1e-3)
    assert convolution.settings["extractor"] == "the classifier's penultimate layer"
    assert convolution.settings["resize"] == "16 × 16"
    assert "asr@0.03" in draws[0].metrics and "asr@0.03" not in draws[1].metrics
    for item, eps in (("figure1", 1.0), ("figure4", 0.03)):
        arrays, metadata = storage.read_tensors(run / f"records/{item}/mnist/classifier/seed0.safetensors")
        assert metadata["eps"] == eps and metadata["methods"] == ["convolution-output", "random-sampling"]
        moved = np.abs(arrays["convolution-output"] - arrays["original"]).max()
        assert arrays["original"].shape == (3, 1, 16, 16) and moved <= eps + 1e-6
        hits = arrays["predicted/convolution-output"] != arrays["predicted/original"]
        assert (hits == arrays["success/convolution-output"]).all()


def test_table_2_on_the_features_of_a_network_that_was_not_attacked(run):
    """Both distances written out in NumPy, for features that are fewer than their 1,280 numbers.

    The trace of the root of two covariances' product is the nuclear norm of their samples' product.
    """
    extractor = image_distance.lite0()
    assert extractor is not None, "the extra `features` is not installed: make .venv/installed"
    record = load(run, "table2/mnist/classifier/convolution-output/seed0.json")
    adv = AttackResult.load(run / "uae/mnist/classifier/convolution-output/seed0.safetensors").adv
    x = prepared.load(run / "data.safetensors").unit("train")[:7]
    a, b = (extractor(images).double().numpy() for images in (x, adv))
    assert a.shape == b.shape == (7, 1280)
    one, other = ((f - f.mean(0)) / np.sqrt(len(f) - 1) for f in (a, b))
    traces = np.square(one).sum() + np.square(other).sum()
    expected = np.square(a.mean(0) - b.mean(0)).sum() + traces - 2 * np.linalg.norm(one @ other.T, "nuc")
    assert record.metrics["frechet_lite0"] == pytest.approx(expected, rel=1e-3)
    kernels = [(p @ q.T / 1280 + 1) ** 3 for p, q in ((a, a), (b, b), (a, b))]
    within = [(k.sum() - np.trace(k)) / (7 * 6) for k in kernels[:2]]
    assert record.metrics["kernel_lite0"] == pytest.approx(sum(within) - 2 * kernels[2].mean(), rel=1e-3)
    assert record.metrics["kernel_lite0_std"] == pytest.approx(0, abs=1e-6) and record.metrics["fid"] > 0
    named = "EfficientNet-Lite0 (ImageNet), resized to 224 × 224, 7 training images"
    assert record.settings["independent"] == named
    assert "frechet_lite0" not in load(run, "table2/mnist/classifier/unattacked/seed0.json").metrics


def test_without_the_extra_table_2_says_what_to_install(run, tmp_path, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    target = tmp_path / "records/table2/mnist/classifier/unattacked/seed0.json"
    evaluate.run(
        target,
        data=run / "data.safetensors",
        checkpoint=run / CHECKPOINT,
        uae=run / "uae/mnist/classifier/convolution-output/seed0.safetensors",
        settings={"inception": None, "independent": 7},
    )
    assert "pip install 'uae-repro[features]'" in caplog.text
    record = records.read(target)
    assert record.metrics["fid"] > 0 and "frechet_lite0" not in record.metrics


def test_figure_3_and_its_rates(run):
    arrays, metadata = storage.read_tensors(run / "records/figure3/mnist/classifier/seed0.safetensors")
    assert metadata["eps"] == [0.1, 1.0]
    assert arrays["minmax"].shape == arrays["pgd"].shape == (3, 2, 1, 16, 16)
    for method in ("minmax", "pgd"):
        for column, eps in enumerate((0.1, 1)):
            result = AttackResult.load(
                run / "uae/mnist/classifier" / f"{method}@{eps:g}" / "seed0.safetensors"
            )
            assert np.array_equal(arrays[method][:, column], result.adv[:3].numpy())
            assert np.array_equal(arrays[f"success/{method}"][:, column], result.success[:3].numpy())
    pgd = load(run, "bounds/mnist/classifier/pgd/seed0.json").metrics
    assert pgd["asr@1"] >= pgd["asr@0.1"] and pgd["asr@1"] == 1
    assert "mi_mean@1" not in pgd and "l2_mean@1" in pgd


def test_table_1_measures_both_definitions(run):
    one = load(run, "table1/mnist/classifier/supervised-example/seed0.json").metrics
    two = load(run, "table1/mnist/convolutional/unsupervised-example/seed0.json").metrics
    assert one["prediction_changed"] == 1 and one["loss_adv"] > one["loss_clean"]
    assert two["loss_adv"] == 1 and two["loss_clean"] == 2 and two["asr"] == pytest.approx(5 / 6)
    assert "prediction_changed" not in two
    source = prepared.load(run / "data.safetensors")
    model, _ = checkpoints.load(run / CHECKPOINT)
    supervised, unsupervised = (
        AttackResult.load(run / path) for path in ("uae/mnist/classifier/minmax@1/seed0.safetensors", UAES)
    )
    rows = supervised.success.nonzero()[:4, 0]
    index = supervised.index[rows]
    clean = F.cross_entropy(model(source.unit("test")[index]), torch.from_numpy(source.y_test[index]).long())
    assert one["loss_clean"] == pytest.approx(clean.item(), abs=1e-6)
    samples = RandomSampling(4, 8).bind(None, torch.zeros(1, 1, 16, 16), 0).compute
    for metrics, x, adv in (
        (one, source.unit("test")[index], supervised.adv[rows]),
        (two, source.unit("train")[:4], unsupervised.adv[:4]),
    ):
        for name, z in (("mi_itself", x), ("mi_adv", adv)):
            expected = estimate(lambda t: samples(t, 0), x, z)
            assert metrics[name] == pytest.approx(expected, abs=1e-5), name


def test_an_example_outside_its_ball_is_no_result(run, tmp_path, monkeypatch):
    def too_far(model, x, *arguments):
        result = AttackResult.load(run / "uae/mnist/classifier" / "pgd@0.1" / "seed0.safetensors")
        result.adv = (x + 0.1 + 1e-5).clamp(0, 1)
        return result

    monkeypatch.setattr(attack, "_untargeted", too_far)
    target = example_set(tmp_path, "pgd@0.1")
    files = {"data": run / "data.safetensors", "checkpoint": run / CHECKPOINT}
    with pytest.raises(RuntimeError, match=r"pgd@0\.1.*: an example is outside its bounds, by 1"):
        attack.run(target, **files, settings=pgd_set(0.1)["settings"])
    assert not target.exists()


def test_attacks_of_different_images_are_compared_on_those_that_both_have():
    def result(index, success, mi):
        success, mi, index = map(torch.tensor, (success, mi, index))
        return AttackResult(mi[:, None], success, mi, mi, mi, index, index)

    one = result([5, 3, 9, 4], [True, True, True, False], [2.0, 7.0, 4.0, 9.0])
    other = result([9, 5, 4], [True, True, True], [1.5, 1.0, 1.0])
    found = classifiers._paired(one, other)
    assert found["n_common"] == 2 and found["mi_minmax_more"] == pytest.approx((1.0 + 2.5) / 2)
    assert classifiers._paired(one, result([1], [True], [3.0])) == {}


def test_the_common_estimator_knows_correlated_gaussians():
    """2000 pairs with correlation rho share -log(1 - rho^2) / 2 nats; those of two samples share nothing."""
    generator = torch.Generator().manual_seed(0)
    x, noise = torch.randn(2, 3, 2000, 1, generator=generator)
    rho = 0.9
    z = rho * x + (1 - rho**2) ** 0.5 * noise
    settings = {"critic_steps": 1000, "critic_lr": 1e-2}
    samples = SimpleNamespace(bind=lambda model, x, seed: Features(lambda x, step: x))
    pairs = classifiers._scale(x) | {"mi_adv": z}
    found = classifiers._information(pairs, x, samples, None, 0, settings)
    assert found["mi_adv"] == pytest.approx(-0.5 * np.log(1 - rho**2), abs=0.1)
    assert found["mi_other"] == pytest.approx(0, abs=0.1) and found["mi_itself"] > found["mi_adv"]
    pairs = classifiers._scale(x) | {"mi_adv": x}
    alike = classifiers._information(pairs, x, samples, None, 0, settings | {"critic_steps": 3})
    assert alike["mi_adv"] == alike["mi_itself"]
    assert classifiers._information({"mi_adv": x[:0]}, x[:0], RandomSampling(), None, 0, settings) == {}


def test_every_metric_of_the_records_has_a_meaning(run):
    paths = sorted((run / "records").rglob("*.json"))
    assert len(paths) == 12
    for path in paths:
        metrics = json.loads(path.read_text())["metrics"]
        assert all(map(records.has_meaning, metrics))
