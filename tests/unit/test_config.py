"""The configuration: both scales fit, and a mistake is named with its file and key."""

import pytest
import yaml

import uae
from uae import config
from uae.errors import ConfigError
from uae.stages.generate import attack_from

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
    for model in ("dense", "convolutional"):
        assert cfg.training("mnist", model, "original")["epochs"] == 20
        assert cfg.training("mnist", model, "mine-uae")["epochs"] == 30
    assert cfg.training("mnist", "dense", "original")["arguments"] == {"latent": 128}


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
        ({"only": "svhn/*"}, ["only", "svhn/*"]),
        (
            {"reconstruction": {"mnist": {"data": "mnits"}}},
            ["reconstruction.mnist.data", "mnits", "mnist-5k"],
        ),
        (
            {"figure5": [{"dataset": "mnist", "model": "gan", "method": "mine-uae"}]},
            ["figure5", "no gan on mnist"],
        ),
        ({"scale": "papre"}, ["scale", "papre", "paper, preview"]),
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
            lambda s: s["attack"]["random_sampling"].update(count=1),
            ["broken.yaml: attack.random_sampling.count", "greater than or equal to 2", "given 1"],
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


@pytest.mark.parametrize("content", ["a: [1", "- 1", ""])
def test_a_scale_file_that_is_no_mapping(tmp_path, content):
    (tmp_path / "x.yaml").write_text(content)
    with pytest.raises(ConfigError, match=r"x\.yaml"):
        config.load(BASE | {"scale": str(tmp_path / "x.yaml")})


def test_the_limit_of_training_samples_is_in_the_name(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert config.load(BASE | {"scale": "paper"}).data_name("mnist") == "mnist@10000"
    assert config.load(BASE | {"scale": "paper", "device": "cuda"}).data_name("mnist") == "mnist"
    limit = {"scale": "paper", "train_limit": {"cpu": 60000}}
    assert config.load(BASE | limit).data_name("mnist") == "mnist"


@pytest.mark.parametrize("scale", ["preview", "paper"])
def test_the_scales_and_the_library_mean_the_same_by_released(scale):
    settings = config.load(BASE | {"scale": scale}).attacking("convolutional", "mine-uae-released")
    found = attack_from(settings)
    assert found == uae.MinMaxAttack.released(mi=found.mi)
    assert settings["squared"] and found.mi.samples == uae.ConvolutionOutput("encoder.1")


def test_only_picks_rows():
    cfg = config.load(BASE | {"scale": "paper", "only": "*/dense"})
    assert cfg.rows == [("mnist", "dense")] and cfg.panels == []
