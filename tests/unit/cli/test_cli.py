"""`uae attack` on a model and data of one's own, and errors without tracebacks."""

import importlib
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from rich.console import Console
from safetensors.torch import save_file
from typer.testing import CliRunner

import uae
import uae.models
from tests import commands
from uae.attacks import constrained, problem
from uae.cli import app, common
from uae.data import arrays
from uae.errors import InputError
from uae.stages import own

FACTORY = """
import torch
from uae import models
torch.manual_seed(0)
def autoencoder():
    return models.build("dense", (1, 8, 8), latent=4)
def classifier():
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 3))
def softmax():
    return torch.nn.Sequential(classifier(), torch.nn.Softmax(1))
def broken():
    return {}["weights"]
def encoder():
    return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Flatten(), torch.nn.LazyLinear(8))
def number():
    return 3
def tuples():
    class Variational(torch.nn.Module):
        def forward(self, x):
            return x, x
    return Variational()
def double():
    return autoencoder().double()
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "mine.py").write_text(FACTORY)
    rng = np.random.default_rng(0)
    np.savez(
        tmp_path / "images.npz",
        x=rng.integers(0, 256, (6, 1, 8, 8), dtype=np.uint8),
        y=np.array([0, 1, 2, 0, 1, 2]),
        colour=rng.integers(0, 256, (6, 3, 8, 8), dtype=np.uint8),
        bad=np.full((2, 1, 8, 8), 2.0),
    )
    torch.manual_seed(3)
    save_file(uae.models.build("dense", (1, 8, 8), latent=4).state_dict(), tmp_path / "weights.safetensors")
    return tmp_path


def run(folder, *arguments):
    command = ["uae", "attack", *arguments, "--out", "out/uae.safetensors"]
    return commands.run(command, folder, os.environ | {"COLUMNS": "100"})


@pytest.mark.parametrize("preset", ["paper", "released"])
def test_attack_saves_what_the_library_gives(folder, preset):
    done = run(
        folder, "--model", "mine:autoencoder", "--checkpoint", "weights.safetensors", "--data", "images.npz",
        "--steps", "3", "--inner-steps", "2", "--preset", preset, "--seed", "5",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "attack success rate" in done.stdout and "6 samples" in done.stdout
    saved = uae.AttackResult.load(folder / "out" / "uae.safetensors")

    torch.manual_seed(3)
    model = uae.models.build("dense", (1, 8, 8), latent=4).eval()
    images = torch.from_numpy(np.load(folder / "images.npz")["x"]).float() / 255
    kind = {"paper": uae.MinMaxAttack, "released": uae.MinMaxAttack.released}[preset]
    loss = uae.losses.Reconstruction(model, squared=preset == "released")
    expected = kind(steps=3, mi=uae.MINE(inner_steps=2))(loss, images, seed=5)
    torch.testing.assert_close(saved.adv, expected.adv, atol=1e-5, rtol=0)
    assert torch.equal(saved.success, expected.success)


@pytest.mark.parametrize("objective", ["margin", "contrastive"])
def test_other_objectives(folder, objective):
    factory = {"margin": "mine:classifier", "contrastive": "mine:encoder"}[objective]
    done = run(
        folder, "--model", factory, "--data", "images.npz", "--objective", objective, "--copies", "3",
        "--steps", "5", "--inner-steps", "2", "--alpha", "0.5",
        "--array", {"margin": "x", "contrastive": "colour"}[objective],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    saved = uae.AttackResult.load(folder / "out" / "uae.safetensors")
    assert len(saved) == 6 and saved.adv.min() >= 0 and saved.adv.max() <= 1
    # Of a classifier the loss is the margin itself, of an encoder it is held against the clean one's.
    threshold = 0 if objective == "margin" else saved.loss_clean
    assert torch.equal(saved.success, (saved.loss <= threshold) & (saved.step > 0))
    assert (saved.eligible is None or saved.eligible.all()) == (objective == "contrastive")


def test_probabilities_are_refused_unless_one_insists(folder):
    given = ["--model", "mine:softmax", "--data", "images.npz", "--objective", "margin", "--steps", "1"]
    refused = run(folder, *given)
    assert refused.returncode == 1 and "uae attack: --probabilities" in refused.stderr
    assert run(folder, *given, "--probabilities").returncode == 0


NET = """
import torch
class Net(torch.nn.Linear):
    def __init__(self):
        super().__init__(2, 2)
        torch.nn.init.eye_(self.weight)
        torch.nn.init.zeros_(self.bias)
    def forward(self, x):
        return {}
"""


def test_the_tag_of_an_attack_tells_models_apart_that_compute_something_else(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    tags = []
    for name, output in (("net_one", "super().forward(x)"), ("net_two", "x.sum()"), ("net_again", "x.sum()")):
        (tmp_path / f"{name}.py").write_text(NET.format(output))
        model = importlib.import_module(name).Net()
        options = own.resuming_own(tmp_path / "uae.safetensors", model, "reconstruction", None, 1)
        tags.append((str(model), options["tag"]))
    assert len({text for text, _ in tags}) == 1
    assert tags[0] != tags[1] == tags[2]


@pytest.mark.parametrize(
    ("given", "spin"), [({}, "20000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, None)]
)
def test_threads_spin_for_a_short_time_unless_the_user_chose(given, spin):
    program = (
        "import os, sys, uae.cli\n"
        "sys.argv = ['uae', '--version']\n"
        "try: uae.cli.main()\n"
        "except SystemExit: print(os.environ.get('GOMP_SPINCOUNT'))"
    )
    environment = {k: v for k, v in os.environ.items() if k not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment | given, capture_output=True, text=True, check=True
    )
    assert done.stdout.split()[-1] == str(spin)


def test_the_version_and_settings_that_are_no_json():
    uae_command = str(Path(sys.executable).parent / "uae")
    shown = subprocess.run([uae_command, "--version"], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == metadata.version("uae-repro")
    command = [uae_command, "run", "{steps: 3}"]
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert refused.returncode == 2 and "JOBS" in refused.stderr and "not JSON" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "mine:broken", "--data", "images.npz"], "--model 'mine:broken': KeyError"),
        (
            ["--model", "mine:autoencoder", "--data", "images.npz", "--checkpoint", "mine.py"],
            "mine.py: not a complete safetensors file",
        ),
        (["--model", "mine", "--data", "images.npz"], "write it as module:callable"),
        (["--model", "nowhere:f", "--data", "images.npz"], "No module named 'nowhere'"),
        (["--model", "mine:number", "--data", "images.npz"], "gives a int"),
        (["--model", "mine:tuples", "--data", "images.npz"], "gives a tuple"),
        (
            ["--model", "mine:double", "--data", "images.npz"],
            "'mine:double' cannot take samples of shape (1, 8, 8), torch.float32",
        ),
        (
            ["--model", "mine:autoencoder", "--data", "images.npz", "--array", "colour"],
            "'mine:autoencoder' cannot take samples of shape (3, 8, 8)",
        ),
        (["--model", "mine:autoencoder", "--data", "none.npz"], "none.npz"),
        (
            ["--model", "mine:autoencoder", "--data", "images.npz", "--array", "z"],
            "images.npz: lacks z; it has x, y, colour, bad",
        ),
        (["--model", "mine:autoencoder", "--data", "images.npz", "--array", "bad"], "sample 0: a value of 2"),
        (["--model", "mine:autoencoder", "--data", "images.npz", "--eps", "-1"], "eps must be above 0"),
        (["--model", "mine:classifier", "--data", "images.npz", "--objective", "max"], "--objective 'max'"),
        (
            [
                "--model",
                "mine:classifier",
                "--data",
                "images.npz",
                "--objective",
                "margin",
                "--labels",
                "bad",
            ],
            "'bad' is float64 of shape (2, 1, 8, 8); it must be a row of integers",
        ),
        (
            ["--model", "mine:autoencoder", "--data", "images.npz", "--checkpoint", "mine.py"],
            "--checkpoint mine.py",
        ),
    ],
)
def test_a_mistake_is_one_message(folder, arguments, message):
    done = run(folder, *arguments)
    assert done.returncode == 1
    assert message in done.stderr and "Traceback" not in done.stderr
    assert not (folder / "out").exists()


@pytest.mark.parametrize("out", [".", "images.npz/uae.safetensors"])
def test_a_place_that_cannot_be_written_is_named_before_the_attack(folder, monkeypatch, out):
    monkeypatch.chdir(folder)
    monkeypatch.setattr(own, "load_model", pytest.fail)
    done = CliRunner().invoke(
        app, ["attack", "--model", "mine:autoencoder", "--data", "images.npz", "--out", out]
    )
    assert isinstance(done.exception, (InputError, SystemExit)) and done.exit_code
    assert out in done.output + str(done.exception)


def test_a_killed_attack_goes_on(folder, monkeypatch):
    """Of its chunks of samples the first is there when the second is killed."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(constrained, "SECONDS_BETWEEN_SAVES", -1.0)
    monkeypatch.setattr(constrained, "SAVING_SHARE", float("inf"))
    np.save("many.npy", np.random.default_rng(0).random((600, 1, 8, 8), dtype=np.float32))
    arguments = [
        "attack",
        "--model",
        "mine:autoencoder",
        "--checkpoint",
        "weights.safetensors",
        "--steps",
        "2",
    ]
    arguments += ["--data", "many.npy", "--inner-steps", "1", "--out", "uae.safetensors"]
    offered, kept = [], problem.Incumbents.result

    def result(self):
        offered.append(len(self.delta))
        if len(offered) == 2:
            raise KeyboardInterrupt
        return kept(self)

    with monkeypatch.context() as patch:
        patch.setattr(problem.Incumbents, "result", result)
        CliRunner().invoke(app, arguments)
    partial = Path("uae.safetensors.partial")
    left = len(uae.AttackResult.load(partial))
    assert 0 < left < 600 and not Path("uae.safetensors").exists()
    chunks = []
    monkeypatch.setattr(
        problem.Incumbents, "result", lambda self: chunks.append(len(self.delta)) or kept(self)
    )
    assert CliRunner().invoke(app, arguments).exit_code == 0
    assert sum(chunks) == 600 - left and not partial.exists()
    assert len(uae.AttackResult.load("uae.safetensors")) == 600


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cut.npz", "not a whole .npz file"),
        ("empty.npy", "the file is empty"),
        ("text.npy", "numpy.str_"),
        ("scalar.npy", r"of shape \(\)"),
    ],
)
def test_a_file_that_holds_no_images_is_named(folder, name, message):
    (folder / "cut.npz").write_bytes((folder / "images.npz").read_bytes()[:-30])
    (folder / "empty.npy").touch()
    np.save(folder / "text.npy", np.array(["a", "b"]))
    np.save(folder / "scalar.npy", np.float32(1))
    with pytest.raises(InputError, match=f"{name}.*{message}"):
        arrays.load_images(folder / name)


@pytest.mark.parametrize(
    ("device", "message"), [("gpu", "'gpu' is not one of cpu, cuda"), ("cuda", "cuda: PyTorch finds no GPU")]
)
def test_a_device_that_is_not_there_is_named(monkeypatch, device, message):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    arguments = ["attack", "--model", "m:f", "--data", "x.npz", "--out", "y", "--device", device]
    error = CliRunner().invoke(app, arguments).exception
    assert isinstance(error, InputError) and f"--device {message}" in str(error)


@pytest.mark.parametrize("item", ["table4", "figure9"])
def test_an_item_is_not_made_of_a_file_that_is_no_record(tmp_path, item):
    """An empty table took the place of the one there, and the advice was to delete the file."""
    page, out = tmp_path / "README.md", tmp_path / "out"
    page.write_text("text")
    error = CliRunner().invoke(app, ["render", item, str(page), "--out", str(out)]).exception
    assert isinstance(error, InputError) and "README.md: not a record" in str(error) and not out.exists()
    assert "delete" not in str(error)
    if item == "figure9":
        return
    page.rename(page.with_suffix(".safetensors"))
    error = CliRunner().invoke(app, ["render", "table4", str(tmp_path), "--out", str(out)]).exception
    assert isinstance(error, InputError) and "no records" in str(error) and not out.exists()


@pytest.mark.parametrize("option", [["--width", "3"], ["--style", "ieee"]])
def test_a_table_has_no_width_or_style(tmp_path, option):
    error = CliRunner().invoke(app, ["render", "table4", "--out", str(tmp_path), *option]).exception
    assert isinstance(error, InputError) and "table4 is a table: --width and --style are for" in str(error)
    assert not list(tmp_path.iterdir())


def test_a_log_file_hears_of_each_quarter_and_of_long_jobs_every_five_minutes(monkeypatch, capsys):
    clock = iter([0, *range(0, 100_000, 100)])
    monkeypatch.setattr(common, "time", SimpleNamespace(monotonic=lambda: next(clock) / 2))
    monkeypatch.setattr(common, "console", Console(force_terminal=False))
    with common.bar("attack") as progress:
        for done in range(1, 9):
            progress(done, 8, "images")
        progress(1, 3, "more")  # the job's next attack
        for _ in range(20):
            progress(1, 1000, "slow")
    said = capsys.readouterr().out.split("\n")
    assert [line for line in said if "images" in line] == [f"attack: {n}/8 images" for n in (1, 2, 4, 6, 8)]
    assert "attack: 1/3 more" in said
    assert 1 < sum("slow" in line for line in said) < 10
