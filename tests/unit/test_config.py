"""The configuration: both scales fit, and a mistake is named with its file and key."""

import inspect
import json
import math
from typing import get_args

import pytest
import yaml
from typer.testing import CliRunner

import uae
from uae import config, models, training
from uae.cli import app
from uae.config import Row, blocks, gpu, reconstruction, robustness
from uae.errors import ConfigError
from uae.methods import Method
from uae.stages.generate import attack_from
from uae.training import classifier, loop, robust

BASE = config.read_yaml(config.ROOT / "config" / "config.yaml")


@pytest.mark.parametrize("scale", ["preview", "paper", "tests/tiny.yaml"])
def test_the_scales_fit_the_schema(scale):
    scale = str(config.ROOT / scale) if "/" in scale else scale
    loaded = config.load(BASE | {"scale": scale})
    assert loaded.name in ("preview", "paper", "tiny")
    assert loaded.rows and loaded.panels


def test_the_paper_scale_has_the_papers_settings():
    """Section 5.1, appendix A.1, Table 8."""
    cfg = config.load(BASE | {"scale": "paper"})
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
    """Section 5.2: 1000 images, T = 9000; on a CPU fewer where the critic is large, or a method our own."""
    supervised = config.load(BASE | {"scale": "paper"}).supervised
    for device, counts in (
        ("cuda", [1000, 1000, 100, 1000, 1000, 1000, 1000, 1000]),
        ("cpu", [10, 5, 1, 10, 1000, 64, 16, 1000]),
    ):
        sets = [attack for attack in supervised.sets("mnist", device) if attack.item == "table3"]
        assert [attack.settings["images"] for attack in sets] == counts
        for attack in sets:
            assert (
                attack.settings["settings"]["steps"] * attack.settings["settings"].get("searches", 1) == 9000
            )


def test_each_supervised_attack_has_the_critic_and_the_bound_of_its_name():
    supervised = config.load(BASE | {"scale": "paper"}).supervised
    found = {
        (attack.item, attack.name, attack.draw): attack.settings
        for dataset in ("mnist", "cifar10")
        for attack in supervised.sets(dataset, "cpu")
    }
    for (item, name, _), entry in found.items():
        bound = float(name.partition("@")[2] or 1)
        assert entry["settings"]["eps"] == bound, name
        if item == "figure3":
            assert entry["attack"] == name.partition("@")[0]
        elif item == "table3":
            assert entry["attack"] == name.partition("-")[0]
            if entry["attack"] == "penalty":
                assert entry["settings"]["restart_critic"] is not name.endswith("kept-critic")
        if entry["attack"] != "pgd":
            vanilla = item != "table3" or "vanilla" in name
            assert entry["mine"] == {
                "critic": "vanilla" if vanilla else "released",
                "inner_steps": 20 if name.endswith("20-steps") else 1,
                "lr": 1.5e-5,
            }
        assert ("random_sampling" in entry) is name.startswith("random-sampling")
    pgd = [key for key in found if key[1].startswith("pgd@")]
    assert len(pgd) == 10 and len([key for key in found if key[1] == "random-sampling"]) == 10


def concrete(**over):
    """Settings of one row of the tables."""
    return {"reconstruction": {"mnist": {"models": {"concrete": over}}}}


def robust_model(**over):
    """Settings of a robustness model without an adversary."""
    return {"robustness": {"models": {"mnist": {"classifier": over}}}}


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"sedes": [0]}, ["sedes: no such key", "command line"]),
        ({"seeds": "many"}, ["seeds", "list", "'many'", "command line"]),
        ({"seeds": []}, ["seeds", "at least 1 item"]),
        ({"attack": {"eps": -1}}, ["attack.eps", "greater than 0", "given -1", "command line"]),
        ({"attack": {"stepz": 3}}, ["attack.stepz: no such key", "given 3"]),
        ({"attack": {"steps": "ten"}}, ["attack.steps", "integer", "'ten'"]),
        ({"device": "tpu"}, ["device", "'auto', 'cpu' or 'cuda'", "'tpu'"]),
        ({"methods": ["ga-0"]}, ["methods", "ga-<sigma above 0>"]),
        (
            {"methods": ["mine"]},
            ["'mine' is not matched, matched-2, matched-best, ga-<sigma above 0>, or one of `attacks`"],
        ),
        ({"methods": ["original"]}, ["methods: 'original' is not matched"]),
        ({"methods": ["ga-0.01-2"]}, ["methods: 'ga-0.01-2' is not matched"]),
        ({"methods": ["ga-0.01-to-clean"]}, ["methods: 'ga-0.01-to-clean' is not matched"]),
        ({"methods": ["matched-to-clean"]}, ["methods: 'matched-to-clean' is not matched"]),
        ({"models": {"simclr": {"lr": 99}}}, ["models.simclr.lr: SimCLR's settings are under `contrastive`"]),
        (
            {"reconstruction": {"mnist": {"models": {"simclr": {"epochs": 1, "retrain_epochs": 1}}}}},
            ["reconstruction.mnist.models.simclr: no autoencoder"],
        ),
        (robust_model(fit={"momentum": 0}), ["fit.momentum: Nesterov's"]),
        ({"supervised": {"training": {"momentum": 0}}}, ["supervised.training.momentum", "greater than 0"]),
        ({"only": "imagenet/*"}, ["only", "imagenet/*"]),
        ({"only": "mnist/dense,svnh/*"}, ["only", "no dataset/model matches 'svnh/*'"]),
        ({"attacks": {"mine-uae": {"steps": 0}}}, ["attacks.mine-uae.steps", "given 0", "command line"]),
        (
            {"reconstruction": {"mnist": {"data": "mnits"}}},
            ["reconstruction.mnist.data", "mnits", "mnist-5k"],
        ),
        (
            {"figure5": [{"dataset": "mnist", "model": "gan", "method": "mine-uae"}]},
            ["figure5", "no gan on mnist"],
        ),
        ({"supervised": {"inception": "nowhere.pth"}}, ["supervised.inception", "nowhere.pth: no such file"]),
        ({"scale": "papre"}, ["scale", "papre", "paper, preview"]),
        ({"attacks": {"mine-uae": 5}}, ["attacks.mine-uae", "given 5", "command line"]),
        ({"attack": {"alpha": math.inf}}, ["attack.alpha", "finite number", "given inf"]),
        ({"attack": {"mi_floor": math.inf}}, ["attack.mi_floor", "finite number"]),
        ({"supervised": {"figure3": {"eps": []}}}, ["supervised.figure3.eps", "at least 1 item"]),
        (robust_model(eps=[]), ["robustness.models.mnist.classifier.eps", "at least 1 item"]),
        (robust_model(eps=[math.inf]), ["mnist.classifier.eps.0", "finite number"]),
        (robust_model(eps=["1e999"]), ["mnist.classifier.eps.0", "'1e999' is neither a number"]),
        (robust_model(network="cw"), ["robustness.models.mnist.classifier.network", "'madry'", "given 'cw'"]),
        (robust_model(fit={"milestones": [3]}), ["classifier", "fit.milestones: a training without an"]),
        (
            {"robustness": {"models": {"mnist": {"madry": {"fit": {"decay": 0.1}}}}}},
            ["robustness.models.mnist.madry", "fit.decay: a training with an adversary"],
        ),
        ({"models": {"dense": {"network": "denes"}}}, ["models.dense.network", "'dense', ", "given 'denes'"]),
        ({"models": {"dense": {"tries": 3}}}, ["models.dense.tries: the training 'autoencoder' takes"]),
        (concrete(patience=3), ["mnist.models.concrete.patience: the training 'concrete' takes"]),
        (
            concrete(methods=["matched"], also=["mine-uae-2"]),
            ["mnist.models.concrete: 'mine-uae-2' attacks the model of 'mine-uae', which is not"],
        ),
    ],
)
def test_a_mistake_on_the_command_line(change, parts):
    with pytest.raises(ConfigError) as error:
        config.load(config.merge(BASE, change))
    for part in parts:
        assert part in str(error.value)


@pytest.mark.parametrize(
    ("edit", "parts"),
    [
        (lambda s: s["attack"].update(eps=-0.5), ["broken.yaml", "attack.eps", "-0.5", "greater than 0"]),
        (lambda s: s["attack"].update(setps=3), ["broken.yaml", "attack.setps: no such key"]),
        (lambda s: s.pop("methods"), ["broken.yaml", "methods", "required"]),
        (
            lambda s: s["reconstruction"]["mnist"]["models"]["dense"].update(also=["no-such"]),
            ["'no-such' is not matched"],
        ),
        (
            lambda s: s["attack"]["random_sampling"].update(count=1),
            ["broken.yaml: attack.random_sampling.count", "greater than or equal to 2", "given 1"],
        ),
        (
            lambda s: s.update(models={"dense": {"lr": 0.5}}),
            ["broken.yaml: models.dense.lr: config/config.yaml has that, too"],
        ),
    ],
)
def test_a_mistake_in_a_scale_file(tmp_path, edit, parts):
    scale = config.read_yaml(config.ROOT / "tests" / "tiny.yaml")
    edit(scale)
    (tmp_path / "broken.yaml").write_text(yaml.safe_dump(scale))
    with pytest.raises(ConfigError) as error:
        config.load(BASE | {"scale": str(tmp_path / "broken.yaml")})
    for part in parts:
        assert part in str(error.value)
    assert "command line" not in str(error.value)


def test_what_the_configuration_knows_of_networks_and_trainings_is_so():
    """It is written out there, as the library imports torch."""

    def taken(fit, block):
        names = set(inspect.signature(fit).parameters)
        names |= set(loop.Options.__annotations__) if "options" in names else set()
        return names & set(block.model_fields)

    assert get_args(blocks.Network) == tuple(models.NETWORKS)
    for name, fit in training.FITS.items():
        assert taken(fit, reconstruction.Fit) == reconstruction.TAKEN[name], name
    standard, adversarial = (taken(module.fit, robustness.Fit) for module in (classifier, robust))
    assert standard - adversarial == robustness.STANDARD
    assert adversarial - standard == robustness.ADVERSARIAL


def test_uae_config_merges_files_as_snakemake_does(tmp_path):
    own = tmp_path / "own.yaml"
    own.write_text("scale: paper\nreconstruction: {mnist: {models: {concrete: {tries: 3}}}}")
    files = ["--configfile", str(config.ROOT / "config" / "cpu.yaml"), "--configfile", str(own)]
    found = json.loads(CliRunner().invoke(app, ["config", *files]).stdout)
    assert found["scale"] == "paper" and found["reconstruction"]["cifar10"]["data"] == "cifar10-jpeg"
    tries = [found["reconstruction"][name]["models"]["concrete"]["tries"] for name in ("mnist", "isolet")]
    assert tries == [3, 2]
    own.write_text("attack: {stepz: 3}")
    error = CliRunner().invoke(app, ["config", "--scale", "paper", *files]).exception
    assert isinstance(error, ConfigError) and "own.yaml: attack.stepz: no such key" in str(error)


@pytest.mark.parametrize("content", ["a: [1", "- 1", ""])
def test_a_scale_file_that_is_no_mapping(tmp_path, content):
    (tmp_path / "x.yaml").write_text(content)
    with pytest.raises(ConfigError, match=r"x\.yaml"):
        config.load(BASE | {"scale": str(tmp_path / "x.yaml")})


def test_the_limit_of_training_samples_is_in_the_name(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    row = Row("mnist", "convolutional")
    assert config.load(BASE | {"scale": "paper"}).data_name(row) == "mnist@10000"
    assert config.load(BASE | {"scale": "paper"}).data_name(Row("mnist", "dense")) == "mnist@2000"
    assert config.load(BASE | {"scale": "paper", "device": "cuda"}).data_name(row) == "mnist"
    limit = {"scale": "paper", "train_limit": {"cpu": 60000}}
    assert config.load(BASE | limit).data_name(row) == "mnist"
    noisy = Row("svhn-noise", "convolutional")
    assert config.load(BASE | {"scale": "paper"}).data_name(noisy) == "svhn@2000+noise-0.01"


@pytest.mark.parametrize("scale", ["preview", "paper"])
def test_the_scales_and_the_library_mean_the_same_by_released(scale):
    settings = config.load(BASE | {"scale": scale}).attacking("convolutional", "mine-uae-released")
    found = attack_from(settings)
    assert found == uae.MinMaxAttack.released(mi=found.mi)
    assert settings["squared"] and found.mi.samples == uae.ConvolutionOutput("encoder.1")


def test_only_picks_rows():
    cfg = config.load(BASE | {"scale": "paper", "only": "*/dense"})
    assert cfg.rows == [("mnist", "dense"), ("mnist-ablation", "dense"), ("svhn", "dense")]
    assert cfg.panels == [] and cfg.stationarity == []
    two = config.load(BASE | {"scale": "paper", "only": "isolet/*, svhn/sparse"})
    assert set(two.rows) == {("isolet", "concrete"), ("svhn", "sparse")}


@pytest.mark.parametrize(
    ("name", "attacks", "rounds", "clean", "sigma"),
    [
        ("mine-uae", ["mine-uae"], 1, False, None),
        ("mine-uae-2", ["mine-uae", "mine-uae-2"], 2, False, None),
        ("init-noise-to-clean", ["init-noise"], 1, True, None),
        ("alpha-0.01-beta-0.05", ["alpha-0.01-beta-0.05"], 1, False, None),
        ("critic-lr-1e-3", ["critic-lr-1e-3"], 1, False, None),
        ("matched", [], 1, False, None),
        ("matched-2", [], 2, False, None),
        ("ga-0.001", [], 1, False, 0.001),
        ("original", [], 1, False, None),
    ],
)
def test_methods_say_what_they_need(name, attacks, rounds, clean, sigma):
    method = Method(name)
    assert (method.attacks, method.rounds, method.clean_target, method.sigma) == (
        attacks,
        rounds,
        clean,
        sigma,
    )


def test_a_job_is_a_step_or_all_of_a_row():
    also = {"also": ["mine-uae-2", "l2-uae-2", "matched-2"]}
    cfg = config.load(BASE | {"scale": "paper", "reconstruction": {"svhn": {"models": {"sparse": also}}}})
    row = Row("svhn", "sparse")
    jobs, runs = cfg.jobs(row), cfg.runs(row)
    assert {len(job) for job in jobs} == {len(step.things) for (step,) in jobs} == {1}
    assert [run for ((stage, (run,)),) in jobs if stage == "retrain"] == runs
    (together,) = cfg.model_copy(update={"together": True}).jobs(row)
    assert [step.stage for step in together] == ["train", "generate", "retrain", "generate", "retrain"]
    first, second = together[2].things, together[4].things
    assert {run.method for run in second} == set(also["also"]) and set(first + second) == set(runs)
    steps = cfg.steps(row, together)
    made_on = {name: step["attacked"] for step in steps if "attacks" in step for name in step["attacks"]}
    assert made_on == {
        "mine-uae": "original", "l2-uae": "original", "mine-uae-2": "mine-uae", "l2-uae-2": "l2-uae",
    }  # fmt: skip


def test_a_scale_of_ones_own_does_not_write_into_a_shipped_ones_results(tmp_path):
    copy = tmp_path / "paper.yaml"
    copy.write_text((config.SCALES / "paper.yaml").read_text())
    with pytest.raises(ConfigError, match=r"results/paper, as config/scales/paper\.yaml does: rename it"):
        config.load(BASE | {"scale": str(copy)})
    assert config.load(BASE | {"scale": str(config.SCALES / "paper.yaml")}).name == "paper"


def test_a_configuration_that_is_not_text_is_named(tmp_path):
    path = tmp_path / "binary.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"binary\.yaml: not valid YAML"):
        config.load(BASE | {"scale": str(path)})


@pytest.mark.parametrize(
    ("init", "devices", "version", "torch", "expected"),
    [
        (0, 1, 13000, 13, "cuda"),
        (0, 2, 13010, 12, "cuda"),
        (0, 0, 13000, 13, "cpu"),  # CUDA_VISIBLE_DEVICES names none
        (100, 1, 13000, 13, "cpu"),  # a GPU node's file system, and no GPU
        (0, 1, 12080, 13, "cpu"),  # a driver too old for this PyTorch
        (0, 1, 13000, None, "cpu"),  # PyTorch for CPUs, or none
    ],
)
def test_auto_means_a_gpu_where_pytorch_would_find_one(monkeypatch, init, devices, version, torch, expected):
    class Driver:
        def __init__(self, name):
            assert name == "libcuda.so.1"

        def cuInit(self, flags):
            return init

        def cuDeviceGetCount(self, found):
            found._obj.value = devices
            return 0

        def cuDriverGetVersion(self, found):
            found._obj.value = version
            return 0

    monkeypatch.setattr(gpu.ctypes, "CDLL", Driver)
    monkeypatch.setattr(gpu, "_cuda_of_torch", lambda: torch)
    gpu.has_cuda.cache_clear()
    try:
        assert config.load(BASE).resolved_device == expected
    finally:
        gpu.has_cuda.cache_clear()


def test_the_cuda_of_pytorch_is_read_without_importing_it():
    import torch

    cuda = torch.version.cuda
    assert gpu._cuda_of_torch() == (None if cuda is None else int(cuda.split(".")[0]))
    gpu.has_cuda.cache_clear()
    assert gpu.has_cuda() == torch.cuda.is_available()
