"""The configuration: scales, layers in their order, and mistakes named with file and key."""

import copy
import inspect
import itertools
import json
import math

import pytest
import yaml
from snakemake.utils import update_config
from typer.testing import CliRunner

from uae import config, models, training
from uae.cli import app
from uae.config import Row, blocks, files, reconstruction, robustness
from uae.errors import ConfigError
from uae.methods import Method
from uae.training import classifier, loop, robust

TINY = config.ROOT / "tests" / "tiny.yaml"


def test_without_a_checkout_one_is_asked_for(tmp_path, monkeypatch):
    """As where the package was installed by pip."""
    monkeypatch.setattr(config, "BASE", tmp_path / "config.yaml")
    for command in ("config", "plan"):
        error = CliRunner().invoke(app, [command, "--scale", "paper"]).exception
        assert isinstance(error, ConfigError) and "needs a checkout" in str(error)


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
        ({"methods": ["ga-0"]}, ["methods", "ga-<sigma above 0, as 0.01>"]),
        ({"methods": ["ga-0.01", "ga-0.010"]}, ["methods: 'ga-0.010' is not matched"]),
        ({"methods": ["ga-00.1"]}, ["methods: 'ga-00.1' is not matched"]),
        (
            {"methods": ["mine"]},
            ["'mine' is not matched, matched-2, matched-best, ga-<sigma above 0, as 0.01>, or one of"],
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
        (robust_model(fit={"momentum": 0}), ["fit.momentum: must be above 0"]),
        (
            concrete(also=["matched-best"]),
            ["models.concrete: matched-best keeps the best epoch", "'concrete'"],
        ),
        (
            {"robustness": {"models": {"mnist": {"trades": {"data": "mnist-5k@400"}}}}},
            ["models.mnist.madry.sanity.surrogate: trades has other data"],
        ),
        ({"supervised": {"training": {"momentum": 0}}}, ["supervised.training.momentum", "greater than 0"]),
        ({"only": "imagenet/*"}, ["only", "imagenet/*"]),
        ({"only": "mnist/dense,svnh/*"}, ["only", "no dataset/model matches 'svnh/*'; ", "svhn/dense"]),
        ({"only": "mnist/dens"}, ["matches 'mnist/dens'; did you mean mnist/dense?"]),
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
        ({"scale": "papre"}, ["scale", "papre", "paper, preview, reduced"]),
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
        (
            {"attacks": {"mine-uae": {"steps": None}}},
            ["attacks.mine-uae.steps", "given None", "command line"],
        ),
        (robust_model(shown=3, minmax=None), ["classifier", "shown: Figure 6 compares MinMax with PGD"]),
        (
            {
                "robustness": {
                    "models": {
                        "mnist": {"madry": {"longer": {"pgd": {"steps": 9, "alpha": 0.1, "images": 2}}}}
                    }
                }
            },
            ["robustness.models.mnist.madry", "longer: 'pgd' is the name of another attack"],
        ),
        (
            {"robustness": {"models": {"mnist": {"trades": {"methods": ["matched"]}}}}},
            ["models.mnist.madry.sanity.surrogate: no original of trades"],
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
        config.load(change)
    for part in parts:
        assert part in str(error.value)


@pytest.mark.parametrize(
    ("edit", "parts"),
    [
        (lambda s: s["attack"].update(eps=-0.5), ["broken.yaml", "attack.eps", "-0.5", "greater than 0"]),
        (lambda s: s["attack"].update(setps=3), ["broken.yaml", "attack.setps: no such key"]),
        (lambda s: s.pop("methods"), ["broken.yaml", "methods", "required"]),
        (lambda s: s.update(seeds=None), ["broken.yaml: seeds:", "given None"]),
        (
            lambda s: s["reconstruction"]["mnist"]["models"]["dense"].update(also=["no-such"]),
            ["'no-such' is not matched"],
        ),
        (
            lambda s: s["attack"]["random_sampling"].update(count=1),
            ["broken.yaml: attack.random_sampling.count", "greater than or equal to 2", "given 1"],
        ),
        (lambda s: s.update(models={"dense": {"lr": -1}}), ["broken.yaml: models.dense.lr", "given -1"]),
        (
            lambda s: s["reconstruction"]["mnist"]["models"].update(convolutoinal={"epochs": 2}),
            ["broken.yaml: reconstruction.mnist.models.convolutoinal.", "did you mean convolutional?"],
        ),
        (lambda s: s.setdefault("attack", {}).update(alpha=math.nan), ["broken.yaml: attack.alpha", "nan"]),
        (lambda s: s["supervised"]["table2"].pop("runs"), ["broken.yaml: supervised.table2.runs: Field"]),
        (lambda s: s.update(scale="paper"), ["broken.yaml: scale: this file is the scale; `extends`"]),
    ],
)
def test_a_mistake_in_a_scale_file(tmp_path, edit, parts):
    scale = config.read_yaml(TINY)
    edit(scale)
    (tmp_path / "broken.yaml").write_text(yaml.safe_dump(scale))
    with pytest.raises(ConfigError) as error:
        config.load({"scale": str(tmp_path / "broken.yaml")})
    for part in parts:
        assert part in str(error.value)
    assert "command line" not in str(error.value)


def test_what_the_configuration_knows_of_networks_and_trainings_is_so():
    """It is written out there, as the library imports torch."""

    def taken(fit, block):
        names = set(inspect.signature(fit).parameters)
        names |= set(loop.Options.__annotations__) if "options" in names else set()
        return names & set(block.model_fields)

    assert list(models.NETWORKS) == blocks.NETWORKS
    assert training.FITS.keys() - training.CLASSIFIERS == reconstruction.TAKEN.keys()
    for name, expected in reconstruction.TAKEN.items():
        assert taken(training.FITS[name], reconstruction.Fit) == expected, name
    standard, adversarial = (taken(module.fit, robustness.Fit) for module in (classifier, robust))
    assert standard - adversarial == robustness.STANDARD
    assert adversarial - standard == robustness.ADVERSARIAL


LAYERS = ("config.yaml", "scales/whole.yaml", "scales/own.yaml", "first.yaml", "second.yaml", "--config")


@pytest.fixture
def layered(tmp_path, monkeypatch):
    """A function that loads a configuration of all layers, given what they say of seeds and attack.steps."""
    whole = config.merge(config.read_yaml(files.BASE), config.read_yaml(TINY))
    whole["attack"].pop("steps")
    whole.pop("seeds")
    (tmp_path / "scales").mkdir()
    monkeypatch.setattr(files, "SCALES", tmp_path / "scales")
    for module in (config, files):
        monkeypatch.setattr(module, "BASE", tmp_path / "config.yaml")

    def load(said):
        layers = {name: {} for name in LAYERS} | said
        layers["config.yaml"] = {"scale": "own"} | layers["config.yaml"]
        layers["scales/whole.yaml"] = config.merge(whole, layers["scales/whole.yaml"])
        layers["scales/own.yaml"] = {"extends": "whole"} | layers["scales/own.yaml"]
        layers["scales/whole.yaml"].pop("scale")
        for name in LAYERS[:-1]:
            (tmp_path / name).write_text(yaml.safe_dump(layers[name]))
        given = {}  # by Snakemake
        for name in LAYERS[3:]:
            update_config(given, copy.deepcopy(layers[name]))
        return config.load(given, [tmp_path / name for name in LAYERS[3:5]])

    return load


def said(value):
    return {"seeds": [value], "attack": {"steps": value}}


@pytest.mark.parametrize(("lower", "upper"), [*itertools.combinations(range(len(LAYERS)), 2)])
def test_the_later_of_two_layers_wins(layered, lower, upper):
    cfg = layered({LAYERS[upper]: said(20 + upper), LAYERS[lower]: said(10 + lower)})
    assert (cfg.seeds, cfg.attack.steps) == ([20 + upper], 20 + upper)
    assert cfg.attacks["mine-uae"].steps == 20 + upper and cfg.attack.inner_steps == 2


@pytest.mark.parametrize("wrong", range(len(LAYERS)))
def test_the_layer_of_a_mistake_is_named(layered, wrong, tmp_path):
    """The one whose value counts, whatever the layers below it say."""
    below = {LAYERS[layer]: said(5 + layer) for layer in range(wrong)}
    with pytest.raises(ConfigError) as error:
        layered(below | {LAYERS[wrong]: {"seeds": [1], "attack": {"steps": -7}}})
    place = "the command line or --configfile" if wrong == 5 else str(tmp_path / LAYERS[wrong])
    assert f"{place}: attack.steps: Input should be greater than or equal to 1, given -7" in str(error.value)


@pytest.mark.parametrize(
    ("scales", "message"),
    [
        ({"a": "b"}, "a.yaml: extends: 'b' is none of a"),
        ({"a": "a"}, "a.yaml: extends: a extends a scale itself; name one that stands alone"),
        ({"a": "b", "b": "a"}, "a.yaml: extends: b extends a scale itself"),
        ({"a": "b", "b": "c", "c": None}, "a.yaml: extends: b extends a scale itself"),
        ({"a": "../a"}, "a.yaml: extends: '../a' is none of a"),
        ({"a": ["a"]}, r"a.yaml: extends: \['a'\] is none of a"),
        ({"a": 3}, "a.yaml: extends: 3 is none of a"),
    ],
)
def test_a_scale_extends_one_that_stands_alone(tmp_path, monkeypatch, scales, message):
    monkeypatch.setattr(files, "SCALES", tmp_path)
    for name, extends in scales.items():
        text = {"seeds": [0]} | ({} if extends is None else {"extends": extends})
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(text))
    with pytest.raises(ConfigError, match=message):
        config.load({"scale": "a"})


def test_only_a_scale_extends_another(tmp_path):
    own = tmp_path / "own.yaml"
    own.write_text("extends: paper")
    with pytest.raises(ConfigError, match=r"own\.yaml: extends: no such key"):
        config.load(config.read_yaml(own), [own])


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (files.BASE, "is always read, below the scale; leave it out"),
        (config.SCALES / "paper.yaml", "is a scale; choose it with --config scale=paper"),
    ],
)
def test_a_file_that_has_its_layer_is_none_to_put_on_top(file, message):
    with pytest.raises(ConfigError, match=message):
        config.load(config.read_yaml(file), [file])


def test_uae_config_merges_files_as_snakemake_does(tmp_path):
    first, own = tmp_path / "first.yaml", tmp_path / "own.yaml"
    tries = "reconstruction: {{{}: {{models: {{concrete: {{tries: {}}}}}}}}}"
    first.write_text("device: cpu\n" + tries.format("isolet", 4))
    own.write_text("scale: reduced\n" + tries.format("mnist", 3))
    given = ["--configfile", str(first), "--configfile", str(own)]
    found = json.loads(CliRunner().invoke(app, ["config", *given]).stdout)
    assert (found["scale"], found["device"]) == ("reduced", "cpu")
    rows = {
        name: found["reconstruction"][name]["models"]["concrete"] for name in ("mnist", "isolet", "coil-20")
    }
    assert {name: row["tries"] for name, row in rows.items()} == {"mnist": 3, "isolet": 4, "coil-20": 2}
    own.write_text("attack: {stepz: 3}")
    error = CliRunner().invoke(app, ["config", "--scale", "paper", *given]).exception
    assert isinstance(error, ConfigError) and "own.yaml: attack.stepz: no such key" in str(error)


@pytest.mark.parametrize("content", ["a: [1", "- 1", ""])
def test_a_scale_file_that_is_no_mapping(tmp_path, content):
    (tmp_path / "x.yaml").write_text(content)
    with pytest.raises(ConfigError, match=r"x\.yaml"):
        config.load({"scale": str(tmp_path / "x.yaml")})


@pytest.mark.parametrize(
    ("limit", "own", "data"),
    [
        (None, None, "svhn+noise-0.01"),
        (500, None, "svhn@500+noise-0.01"),
        (500, 70, "svhn@70+noise-0.01"),
        (500, 600, "svhn@600+noise-0.01"),
        (None, 70, "svhn@70+noise-0.01"),
        (73257, None, "svhn+noise-0.01"),  # all of it
        (500, 73257, "svhn+noise-0.01"),
    ],
)
def test_the_limit_of_training_samples_is_in_the_name(limit, own, data):
    row = Row("svhn-noise", "convolutional")
    over = {"reconstruction": {row.dataset: {"models": {row.model: {"train_limit": own}}}}}
    assert config.load({"scale": "paper", "train_limit": limit} | over).data_name(row) == data


def test_only_picks_rows():
    cfg = config.load({"scale": "paper", "only": "*/dense"})
    assert cfg.rows == [("mnist", "dense"), ("mnist-ablation", "dense"), ("svhn", "dense")]
    assert cfg.panels == [] and cfg.stationarity == []
    two = config.load({"scale": "paper", "only": "isolet/*, svhn/sparse"})
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


def test_a_scale_of_ones_own_does_not_write_into_a_shipped_ones_results(tmp_path):
    copy = tmp_path / "paper.yaml"
    copy.write_text((config.SCALES / "paper.yaml").read_text())
    with pytest.raises(ConfigError, match=r"results/paper, as config/scales/paper\.yaml does: rename it"):
        config.load({"scale": str(copy)})
    assert config.load({"scale": str(config.SCALES / "paper.yaml")}).name == "paper"


def test_a_configuration_that_is_not_text_is_named(tmp_path):
    path = tmp_path / "binary.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"binary\.yaml: not valid YAML"):
        config.load({"scale": str(path)})
