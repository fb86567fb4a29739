"""`uae augment`, and what `uae attack` says of a result that a user may not expect."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from typer.testing import CliRunner

import uae
from uae.cli import app
from uae.cli.own import advice
from uae.errors import InputError
from uae.stages import own

MODELS = """
import torch
from torch import nn
def autoencoder():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(12, 4), nn.Sigmoid(), nn.Linear(4, 12), nn.Sigmoid())
def classifier():  # its logits are 0 at a grey sample: no class is everyone's
    torch.manual_seed(0)
    model = nn.Linear(12, 3, bias=False)
    model.weight.data -= model.weight.data.mean(1, keepdim=True)
    return model
def training():
    class Stubborn(nn.Sequential):
        def eval(self): return self
    return Stubborn(autoencoder()).train()
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "augmentable.py").write_text(MODELS)
    x = np.random.default_rng(0).random((20, 12), dtype=np.float32)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    y = own.load_model("augmentable:classifier")(torch.from_numpy(x)).argmax(1)  # right before the attack
    np.savez(tmp_path / "x.npz", x=x, y=y.numpy(), bad=x + 1)
    yield tmp_path
    sys.modules.pop("augmentable", None)


def call(command: str, model: str, *more: str, out: str = "a.safetensors"):
    given = ["--data", "x.npz", "--out", out, "--steps", "5", "--inner-steps", "2", *more]
    return CliRunner().invoke(app, [command, "--model", f"augmentable:{model}", *given])


@pytest.mark.parametrize("replicate", [[], ["--replicate"]])
def test_augment_writes_a_set_and_its_control(folder, replicate):
    done = call("augment", "autoencoder", "--seed", "2", *replicate)
    assert done.exit_code == 0, done.exception
    saved = load_file("a.safetensors")
    x = torch.from_numpy(np.load("x.npz")["x"])
    assert call("attack", "autoencoder", "--seed", "2", out="u.safetensors").exit_code == 0
    attacked = uae.AttackResult.load("u.safetensors")
    assert 0 < attacked.success.sum() < 20  # or a part of this test is empty
    rows = torch.arange(20) if replicate else attacked.success.nonzero()[:, 0]
    assert torch.equal(saved["source"], torch.cat([torch.arange(20), rows]))
    assert torch.equal(saved["is_uae"][20:], attacked.success[rows]) and not saved["is_uae"][:20].any()
    assert torch.equal(saved["x"], torch.cat([x, attacked.adv[rows]]))
    assert torch.equal(saved["control"], torch.cat([x, x[rows]]))
    text = " ".join(done.stdout.replace("│", " ").split())
    assert f"samples in the augmented set, and in its control {20 + len(rows)}" in text
    assert f"of these, adversarial examples {int(attacked.success.sum())}" in text
    assert not list(folder.glob("*.partial")) and not list(folder.glob(".*.lock"))


def test_a_model_trains_on_both_for_as_many_steps(folder):
    """What a user does with the file: one training on x, one on control."""
    assert call("augment", "autoencoder").exit_code == 0
    saved, steps = load_file("a.safetensors"), {}
    for name in ("x", "control"):
        model = nn.Linear(12, 12)
        optimizer = torch.optim.Adam(model.parameters())
        for _ in range(3):
            for batch in saved[name].split(8):
                nn.functional.mse_loss(model(batch), batch).backward()
                optimizer.step()
        steps[name] = optimizer.state[model.weight]["step"].item()
    assert steps["x"] == steps["control"]


def test_a_set_for_a_classifier_has_the_labels_of_its_sources(folder):
    options = ["--objective", "margin", "--steps", "30", "--alpha", "0.5", "--beta", "0.9"]
    assert call("augment", "classifier", *options).exit_code == 0
    saved, y = load_file("a.safetensors"), torch.from_numpy(np.load("x.npz")["y"])
    assert saved["is_uae"].any() and len(y.unique()) > 1
    assert torch.equal(saved["y"], y[saved["source"]])


def test_the_released_preset_adds_successes_alone(folder):
    """It keeps the best iterate of a failure, which is no example."""
    assert call("augment", "autoencoder", "--preset", "released").exit_code == 0
    saved = load_file("a.safetensors")
    changed = (saved["x"] != saved["control"]).any(1)
    assert torch.equal(changed, saved["is_uae"])


@pytest.mark.parametrize(
    ("model", "more", "message"),
    [
        ("nothing", [], "--model 'augmentable:nothing': AttributeError"),
        ("autoencoder", ["--array", "bad"], "sample 0: a value of"),
        ("autoencoder", ["--array", "z"], "x.npz: lacks z"),
        ("autoencoder", ["--objective", "max"], "--objective 'max'"),
        ("autoencoder", ["--preset", "ours"], "--preset 'ours' is not one of paper, released"),
        ("training", [], "training mode"),
        ("classifier", ["--objective", "margin", "--labels", "z"], "x.npz: lacks z"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_no_file(folder, model, more, message):
    error = call("augment", model, *more).exception
    assert isinstance(error, InputError) and message in str(error) and "\n" not in str(error)
    assert not list(folder.glob("a.safetensors*"))


def test_an_input_is_never_replaced(folder):
    before = Path("x.npz").read_bytes()
    Path("x.safetensors").hardlink_to("x.npz")
    error = call("augment", "autoencoder", out="x.safetensors").exception
    assert "is --data x.npz" in str(error) and Path("x.npz").read_bytes() == before


def attacked(change: float, failures: float = 0.0) -> tuple[uae.AttackResult, torch.Tensor]:
    """Ten samples of norm 5, the last two failures; change, failures: the norms of their perturbations."""
    x = torch.zeros(10, 4)
    x[:, 0], x[:, 1] = 3, 4
    delta = torch.zeros(10, 4)
    delta[:8, 2], delta[8:, 2] = change, failures
    value, rows = torch.ones(10), torch.arange(10)
    return uae.AttackResult(x + delta, rows < 8, value, value, value, rows, rows), x


@pytest.mark.parametrize(("change", "small"), [(0.049, True), (0.051, False)])
def test_a_change_below_a_hundredth_is_pointed_out(change, small):
    """1 % of the norm 5 is 0.05. Failures, which changed more, do not count."""
    lines = advice(*attacked(change, failures=9.0))
    assert any("almost their originals" in line and "--preset released" in line for line in lines) == small
    released = advice(*attacked(change), preset="released")
    assert any("almost" in line and "--alpha" in line for line in released) == small


def test_failures_that_were_altered_are_pointed_out():
    (line,) = advice(*attacked(1.0, failures=0.5))
    assert line.startswith("2 of 2 failed samples are altered") and "--on-failure original" in line
    assert not advice(*attacked(1.0))
    x = torch.zeros(3, 4)  # no norm, and no success
    value, rows = torch.ones(3), torch.arange(3)
    assert not advice(uae.AttackResult(x, rows < 0, value, value, value, rows, rows), x)


def test_on_failure_decides_what_a_failed_sample_is(folder):
    x = torch.from_numpy(np.load("x.npz")["x"])
    for choice, altered in (("best", True), ("original", False)):
        done = call("attack", "autoencoder", "--preset", "released", "--on-failure", choice)
        result = uae.AttackResult.load("a.safetensors")
        failed = ~result.success
        assert failed.any()
        assert (result.adv[failed] != x[failed]).any(1).all() == altered
        assert ("failed samples are altered" in done.stdout) == altered
    wrong = call("attack", "autoencoder", "--on-failure", "worst").exception
    assert "on_failure: 'worst' is not one of original, best" in str(wrong)
