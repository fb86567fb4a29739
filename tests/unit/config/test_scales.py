"""The scales that the package has: the paper's settings at the paper's sizes, and smaller ones."""

import inspect
from pathlib import Path

import pytest

import uae
from uae import config, plan, training
from uae.config import Row, gpu
from uae.data import catalogue
from uae.stages.attack import attack_from

TINY = config.ROOT / "tests" / "tiny.yaml"


SCALES = ("preview", "reduced", "paper", str(TINY))


@pytest.mark.parametrize("scale", SCALES)
def test_the_scales_fit_the_schema(scale):
    loaded = config.load({"scale": scale})
    assert loaded.name == Path(scale).stem
    assert loaded.rows and loaded.panels


def classifier_attacks(cfg):
    """The settings of the attacks on classifiers, by data set, method and run."""
    found = {Path(path).with_suffix("").parts[3:]: job for path, job in plan.plan(cfg).items()}
    return {
        (dataset, method, run): job.settings
        for (dataset, model, method, *_, run), job in found.items()
        if job.stage == "attack" and model == "classifier"
    }


def everything(cfg):
    """The data and the settings of all that a configuration runs."""
    data = {row: cfg.data_name(row) for row in cfg.made_rows}
    data |= {row: cfg.classifier_data(row) for row in cfg.classifiers}
    data |= {(*row, "robust"): cfg.robust_data(row) for row in cfg.robust_made}
    data["simclr"] = cfg.limited(cfg.contrastive.data, cfg.contrastive.train_limit)
    attacks = {row: cfg.robustness.attacking(*row) for row in cfg.robust_rows}
    return data, plan.plan(cfg), attacks


@pytest.mark.parametrize("scale", SCALES)
def test_the_same_settings_on_every_machine(scale, monkeypatch):
    found = []
    for there in (False, True):
        monkeypatch.setattr(gpu, "has_cuda", lambda there=there: there)
        assert gpu.resolved("auto") == ("cuda" if there else "cpu")
        found += [everything(config.load({"scale": scale, "device": d})) for d in ("auto", "cpu", "cuda")]
    assert all(settings == found[0] for settings in found)


def test_the_paper_scale_has_all_of_the_papers_data_images_and_tries():
    cfg = config.load({"scale": "paper"})
    for row, data in everything(cfg)[0].items():
        entry = catalogue.parse(data).entry
        assert catalogue.complete(data), row
        assert catalogue.entries()[entry].stands_for in (entry, catalogue.folder(data)), row
    assert {cfg.training(row, "original").get("tries") for row in cfg.rows} == {None}  # the library's five
    assert inspect.signature(training.FITS["concrete"]).parameters["tries"].default == 5
    table2, figure3 = cfg.supervised.table2, cfg.supervised.figure3
    assert (table2.images, table2.steps, table2.runs) == (1000, 1000, 10)
    assert (figure3.images, figure3.steps, figure3.pgd_steps) == (1000, 1000, 100)
    models = [model for models in cfg.robustness.models.values() for model in models.values()]
    assert {model.images for model in models} == {1000}
    assert {model.minmax.images for model in models if model.minmax} == {1000}


def test_the_reduced_scale_differs_from_the_papers_in_sizes_alone():
    """What a few CPU cores can do: docs/running.md."""
    reduced, paper = config.load({"scale": "reduced"}), config.load({"scale": "paper"})
    assert reduced.rows == paper.rows and reduced.attack == paper.attack and reduced.attacks == paper.attacks
    data = {"/".join(row): reduced.data_name(row) for row in reduced.rows}
    assert data["mnist/convolutional"] == data["mnist/sparse"] == "mnist@10000"
    assert data["svhn-noise/convolutional"] == "svhn-10k@2000+noise-0.01"
    assert data["isolet/concrete"] == "isolet-npz" and data["coil-20/concrete"] == "coil-20"
    of_paper = {"mnist-ablation": "mnist", "mice-protein-as-published": "mice-protein"}
    for row in reduced.rows:
        stands_for = catalogue.lookup(reduced.data_name(row))[0].stands_for
        assert row.dataset.startswith(of_paper.get(row.dataset, stands_for))
        for method in ("original", "mine-uae"):
            here, there = reduced.training(row, method), paper.training(row, method)
            assert here == there | ({"tries": 2} if "tries" in here else {})
    of_reduced, of_paper = classifier_attacks(reduced), classifier_attacks(paper)
    for name, there in of_paper.items():
        here = of_reduced[name]
        assert here["images"] <= there["images"] and here | {"images": 0} == there | {"images": 0}
    counts = [of_reduced["mnist", name, "seed0"]["images"] for name in reduced.supervised.compared]
    assert counts == [10, 5, 1, 10, 1000, 64, 16, 1000]


def test_the_paper_scale_has_the_papers_settings():
    """Section 5.1, appendix A.1, Table 8."""
    cfg = config.load({"scale": "paper"})
    a = cfg.attack
    assert (a.eps, a.alpha, a.beta, a.steps, a.kappa, a.c0, a.init) == (1, 0.01, 0.1, 40, 0, 0, "zeros")
    assert (a.random_sampling.count, a.random_sampling.dim) == (500, 128)
    epochs = {
        ("mnist", "sparse"): (50, 80), ("mnist", "dense"): (20, 30), ("mnist", "convolutional"): (20, 30),
        ("mnist", "adversarial"): (50, 80), ("svhn", "sparse"): (50, 80), ("svhn", "dense"): (30, 50),
        ("svhn", "convolutional"): (100, 100), ("svhn", "adversarial"): (200, 200),
    }  # fmt: skip
    for row, expected in epochs.items():
        found = [cfg.training(Row(*row), method)["epochs"] for method in ("original", "mine-uae")]
        assert tuple(found) == expected, row
    latent = {row: cfg.training(Row(*row), "original")["arguments"] for row in epochs}
    assert latent["mnist", "dense"] == {"latent": 128} and latent["svhn", "sparse"] == {"latent": 256}
    assert cfg.training(Row("svhn", "sparse"), "original")["sparsity_weight"] == 1
    assert cfg.training(Row("mnist", "sparse"), "original")["sparsity_weight"] == 3
    features = {
        row.dataset: cfg.budget(row).arguments["features"] for row in cfg.rows if row.model == "concrete"
    }
    assert features == {
        "mnist": 50, "fashion-mnist": 50, "isolet": 50, "coil-20": 50, "mice-protein": 10, "activity": 50,
        "coil-20-nearest": 50, "mice-protein-as-published": 10,
    }  # fmt: skip
    grid = {(cfg.attacks[name].alpha, cfg.attacks[name].beta) for name in cfg.attacks if "alpha" in name}
    assert grid | {(0.01, 0.1)} == {(a, b) for a in (0.01, 0.05) for b in (0.05, 0.1, 0.5)}  # Table 9


def test_the_papers_table3_has_all_its_iterations_and_images():
    """Section 5.2: 1000 images, T = 9000; fewer for one method that is not the table's."""
    cfg = config.load({"scale": "paper"})
    attacks = classifier_attacks(cfg)
    for dataset in ("mnist", "cifar10"):
        sets = {name: attacks[dataset, name, "seed0"] for name in cfg.supervised.compared}
        counts = {name: settings["images"] for name, settings in sets.items()}
        assert counts.pop("penalty-20-steps") == 100 and set(counts.values()) == {1000}
        for settings in (attack["settings"] for attack in sets.values()):
            assert settings["steps"] * settings.get("searches", 1) == 9000


def test_each_supervised_attack_has_the_critic_and_the_bound_of_its_name():
    cfg = config.load({"scale": "paper"})
    found = classifier_attacks(cfg)
    for (_, name, _), entry in found.items():
        bound = float(name.partition("@")[2] or 1)
        assert entry["settings"]["eps"] == bound, name
        of_table2 = name.startswith("random-sampling") or "convolution-output" in name
        if not of_table2:
            assert entry["attack"] == name.partition("@")[0].partition("-")[0]
            if entry["attack"] == "penalty":
                assert entry["settings"]["restart_critic"] is not name.endswith("kept-critic")
        if entry["attack"] != "pgd":
            vanilla = name not in cfg.supervised.compared or "vanilla" in name
            assert entry["mine"] == {
                "critic": "vanilla" if vanilla else "released",
                "inner_steps": 20 if name.endswith("20-steps") else 1,
                "lr": 1.5e-5,
            }
        assert ("random_sampling" in entry) is name.startswith("random-sampling")
    names = [name for _, name, run in found if run.startswith("seed0")]
    assert len([name for name in names if name.startswith("pgd@")]) == names.count("random-sampling") == 10


@pytest.mark.parametrize("scale", ["preview", "paper"])
def test_the_scales_and_the_library_mean_the_same_by_released(scale):
    settings = config.load({"scale": scale}).attacking("convolutional", "mine-uae-released")
    found = attack_from(settings)
    assert found == uae.MinMaxAttack.released(mi=found.mi)
    assert settings["squared"] and found.mi.samples == uae.ConvolutionOutput("encoder.1")
