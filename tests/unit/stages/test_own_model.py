"""`uae attack` and what users bring: every failure is one line, and no file of theirs is lost."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from typer.testing import CliRunner

import uae
from uae.cli import app
from uae.errors import InputError
from uae.stages import own

MODELS = """
import torch
from torch import nn

def conv():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 1, 3, padding=1), nn.Sigmoid())

class Raises(nn.Module):
    def __init__(self, error, when=lambda x: True):
        super().__init__()
        self.net, self.error, self.when = conv(), error, when
    def forward(self, x):
        if self.when(x):
            raise self.error
        return self.net(x)

class Odd(BaseException):
    pass

def asserts(): return Raises(AssertionError("Wrong image height!"))
def silent(): return Raises(AssertionError())
def lines(): return Raises(LookupError("two\\n  lines"))
def leaves(): return Raises(SystemExit(0))
def odd(): return Raises(Odd("odd"))
def memory(): return Raises(MemoryError())
def later(): return Raises(ValueError("a batch of three"), lambda x: len(x) > 2)
def later_leaves(): return Raises(SystemExit(0), lambda x: len(x) > 2)
def in_gradient(): return Raises(OSError("no such file"), lambda x: x.requires_grad)
def leaving(): raise SystemExit(0)
def needs(size): return conv()
class Attribute(nn.Module):
    def forward(self, batch): return batch.pixel_values
class Indexes(nn.Module):
    def forward(self, x): return x[:, :, :, :, 0]
class Stubborn(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = conv()
    def forward(self, x): return self.net(x)
    def train(self, mode=True): raise KeyError("mode")
class Extra(Stubborn):
    def train(self, mode=True): return nn.Module.train(self, mode)
    def get_extra_state(self): return {"version": 3}
    def set_extra_state(self, state): pass
class Noisy(Extra):
    def forward(self, x): return self.net(x) + torch.randn_like(x)
class InPlace(Extra):
    def forward(self, x): return self.net(x.mul_(0.5))
class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.enc, self.dec = nn.Linear(81, 81), nn.Linear(81, 81)
        self.dec.weight = self.enc.weight
    def forward(self, x):
        return torch.sigmoid(self.dec(torch.relu(self.enc(x.flatten(1))))).view(x.shape)
model = conv()
class Holder:
    inner = conv()
number = 3
def exported():
    shapes = ({0: torch.export.Dim.AUTO},)
    return torch.export.export(conv().eval(), (torch.rand(3, 1, 9, 9),), dynamic_shapes=shapes).module()
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "hostile.py").write_text(MODELS)
    (tmp_path / "leaves.py").write_text("import sys\nsys.exit(0)\n")
    (tmp_path / "broken.py").write_text("def f(:\n")
    rng = np.random.default_rng(0)
    np.savez(
        tmp_path / "x.npz",
        x=rng.random((5, 1, 9, 9), "float32"),
        keras=rng.integers(0, 256, (5, 28, 28), dtype=np.uint8),
        last=rng.integers(0, 256, (5, 9, 9, 1), dtype=np.uint8),
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("hostile", "leaves", "broken"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield tmp_path
    for name in ("hostile", "leaves", "broken"):
        sys.modules.pop(name, None)


def attack(model, *more, data="x.npz", out="o.safetensors"):
    arguments = [
        "attack",
        "--model",
        model,
        "--data",
        data,
        "--out",
        out,
        "--steps",
        "2",
        "--inner-steps",
        "1",
    ]
    return CliRunner().invoke(app, [*arguments, *more])


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            "hostile:asserts",
            "--model 'hostile:asserts' .*shape (1, 9, 9).*AssertionError: Wrong image height!",
        ),
        ("hostile:silent", "a batch of 2: AssertionError$"),
        ("hostile:lines", "LookupError: two lines$"),
        ("hostile:leaves", "SystemExit: 0$"),
        ("hostile:odd", "Odd: odd$"),
        ("hostile:memory", "MemoryError$"),
        ("hostile:later", "--model 'hostile:later': ValueError: a batch of three$"),
        ("hostile:later_leaves", "--model 'hostile:later_leaves': SystemExit: 0$"),
        ("hostile:in_gradient", "--model 'hostile:in_gradient': OSError: no such file$"),
        ("hostile:leaving", "--model 'hostile:leaving': SystemExit: 0$"),
        ("hostile:needs", "TypeError: .*size"),
        ("hostile:Attribute", "AttributeError: .*pixel_values"),
        ("hostile:Indexes", "IndexError: too many indices"),
        ("hostile:Stubborn", "--model 'hostile:Stubborn': KeyError: 'mode'$"),
        ("hostile:Noisy", "^sample 0: the loss differs between two calls"),
        ("hostile:InPlace", "^the model, the loss or the features change their input in place"),
        ("hostile:number", "TypeError: 'int' object is not callable"),
        ("hostile:Holder", "gives a Holder, not a torch.nn.Module"),
        ("hostile:", "--model 'hostile:': AttributeError"),
        ("hostile:nothing", "AttributeError: .*nothing"),
        (":conv", "--model ':conv': ValueError"),
        ("leaves:f", "--model 'leaves:f': SystemExit: 0$"),
        ("broken:f", "--model 'broken:f': SyntaxError"),
        ("nowhere:f", "ModuleNotFoundError: No module named 'nowhere'$"),
    ],
)
def test_whatever_a_user_s_code_raises_is_one_line(folder, model, message):
    error = attack(model).exception
    assert isinstance(error, InputError), error
    assert "\n" not in str(error)
    message = message.replace("(1, 9, 9)", r"\(1, 9, 9\)")
    with pytest.raises(InputError, match=message):
        raise error
    assert not list(folder.glob("o.safetensors*"))


def test_an_interrupt_stays_one(folder, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(own, "resuming_own", interrupt)
    done = attack("hostile:conv")
    assert done.exit_code and not isinstance(done.exception, InputError)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        ("keras", r"shape \(28, 28\).*fails on a batch of 2.*channel axis, \(N, 1, 28, 28\)"),
        ("last", r"shape \(9, 9, 1\).*\(N, 1, 9, 9\): x.transpose\(0, 3, 1, 2\)"),
    ],
)
def test_images_with_other_axes_get_a_hint(folder, array, message):
    with pytest.raises(InputError, match=message):
        raise attack("hostile:conv", "--array", array).exception


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("model", ["model", "Holder.inner", "Extra", "exported"])
def test_what_is_no_ordinary_factory_works(folder, model):
    done = attack(f"hostile:{model}")
    assert done.exit_code == 0, done.exception
    images = torch.from_numpy(np.load("x.npz")["x"])
    loss = uae.losses.Reconstruction(importlib.import_module("hostile").conv().eval())
    mine = uae.MINE(inner_steps=1, samples=uae.RandomSampling() if model == "exported" else None)
    expected = uae.MinMaxAttack(steps=2, mi=mine)(loss, images)
    torch.testing.assert_close(uae.AttackResult.load("o.safetensors").adv, expected.adv, atol=1e-5, rtol=0)


@pytest.mark.parametrize("how", ["save_model", "every name", "one name"])
def test_weights_that_are_tied_are_read_however_they_were_written(folder, how):
    own.load_model("hostile:Tied")  # the folder is in the path
    given = importlib.import_module("hostile").Tied()
    state = {name: value.clone() for name, value in given.state_dict().items()}
    if how == "save_model":
        safetensors.torch.save_model(given, "w.safetensors")
    else:
        if how == "one name":
            del state["enc.weight"]
        safetensors.torch.save_file(state, "w.safetensors")
    model = own.load_model("hostile:Tied", Path("w.safetensors"))
    for name, value in given.state_dict().items():
        assert torch.equal(model.state_dict()[name], value)
    assert model.enc.weight is model.dec.weight


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("enc.bias"), "w.safetensors: it lacks enc.bias$"),
        (lambda state: state.update(more=torch.ones(1)), "it has weights that the model lacks: more$"),
        (
            lambda state: state.update({"enc.bias": torch.ones(3)}),
            "RuntimeError: .*size mismatch for enc.bias",
        ),
        (
            lambda state: [state.pop(name) for name in ("enc.weight", "dec.weight")],
            "lacks enc.weight, dec.weight$",
        ),
    ],
)
def test_weights_that_do_not_fit_are_named(folder, change, message):
    own.load_model("hostile:Tied")
    state = importlib.import_module("hostile").Tied().state_dict()
    state = {name: value.clone() for name, value in state.items()}
    change(state)
    safetensors.torch.save_file(state, "w.safetensors")
    with pytest.raises(InputError, match=message) as error:
        own.load_model("hostile:Tied", Path("w.safetensors"))
    assert "\n" not in str(error.value)


def inputs(folder):
    own.load_model("hostile:conv")
    torch.manual_seed(1)
    safetensors.torch.save_file({"x": torch.rand(3, 1, 9, 9)}, "x.safetensors")
    safetensors.torch.save_model(importlib.import_module("hostile").conv(), "w.safetensors")
    Path("inner").mkdir()
    Path("hard.safetensors").hardlink_to("x.safetensors")
    Path("link.safetensors").symlink_to("x.safetensors")
    Path("weights.safetensors").symlink_to("w.safetensors")
    Path("dangling.safetensors").symlink_to("nowhere")
    Path("folder.safetensors").mkdir()
    os.mkfifo("pipe.safetensors")
    os.mkfifo("later.safetensors.partial")
    Path("kept.safetensors.partial").symlink_to("x.safetensors")
    Path("twice.safetensors.partial").hardlink_to("x.safetensors")
    return {path: path.read_bytes() for path in (Path("x.safetensors"), Path("w.safetensors"))}


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("x.safetensors", "is --data x.safetensors"),
        ("./x.safetensors", "is --data"),
        ("inner/../x.safetensors", "is --data"),
        ("{cwd}/x.safetensors", "is --data"),
        ("hard.safetensors", "is --data"),
        ("link.safetensors", "is a link, to x.safetensors"),
        ("w.safetensors", "is --checkpoint w.safetensors"),
        ("weights.safetensors", "is a link"),
        ("dangling.safetensors", "is a link"),
        ("folder.safetensors", "is a directory"),
        ("pipe.safetensors", "is a folder, device or pipe"),
        ("later.safetensors", "later.safetensors.partial is a folder, device or pipe"),
        ("kept.safetensors", "kept.safetensors.partial is a link"),
        ("twice.safetensors", r"is --data x.safetensors \(progress is saved there"),
        ("o.npz", "the result is a safetensors file; call it o.safetensors"),
        ("o", "call it o.safetensors"),
        ("/dev/null", "call it null.safetensors"),
        ("x.npz/o.safetensors", "is not a writable folder"),
    ],
)
def test_the_result_replaces_nothing_that_it_should_not(folder, monkeypatch, out, message):
    before = inputs(folder)
    monkeypatch.setattr(own, "load_model", pytest.fail)
    done = attack(
        "hostile:conv", "--checkpoint", "w.safetensors", data="x.safetensors", out=out.format(cwd=folder)
    )
    assert done.exit_code
    with pytest.raises(InputError, match=message):
        raise InputError(" ".join((done.output + str(done.exception)).replace("│", " ").split()))
    assert all(path.read_bytes() == content for path, content in before.items())


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o444])
def test_a_result_that_is_replaced_keeps_its_permissions(folder, monkeypatch, mode):
    """So does the partial one. Folders stay usable, and what comes after the attack has the old umask."""
    before = os.umask(0o022)
    try:
        Path("o.safetensors").touch()
        Path("o.safetensors").chmod(mode)
        modes = []
        run = uae.MinMaxAttack.__call__

        def kept(self, *arguments, resume, **options):
            Path(resume).touch()
            modes.append(Path(resume).stat().st_mode & 0o777)
            Path(resume).unlink()
            Path("cache").mkdir()
            modes.append(Path("cache").stat().st_mode & 0o700)
            return run(self, *arguments, **options | {"tag": ""})

        monkeypatch.setattr(uae.MinMaxAttack, "__call__", kept)
        assert attack("hostile:conv").exit_code == 0
    finally:
        after = os.umask(before)
    assert after == 0o022
    assert modes == [mode | 0o200, 0o700]
    assert Path("o.safetensors").stat().st_mode & 0o777 == mode | 0o200
    assert len(uae.AttackResult.load("o.safetensors"))


STREAMS = {
    "ascii": ({"PYTHONIOENCODING": "ascii"}, ""),
    "strict latin": ({"PYTHONIOENCODING": "latin-1:strict"}, ""),
    "closed": ({}, ">&-"),
    "full": ({}, ">/dev/full"),
    "broken": ({}, "| true"),
    "narrow": ({"COLUMNS": "0"}, ""),
    "one column": ({"COLUMNS": "1"}, ""),
}


@pytest.mark.parametrize(("environment", "stream"), STREAMS.values(), ids=STREAMS)
def test_a_display_that_fails_is_no_failure(folder, environment, stream):
    """The result is written before it is shown."""
    program = (
        "import torch; from pathlib import Path; from uae.cli import streams; from uae.cli.own import show; "
        "from uae import AttackResult; streams.prepare(False); "
        "n = torch.ones(3); i = torch.arange(3); x = torch.rand(3, 4); "
        "show(AttackResult(x, n > 0, n, n, n, i, i), x, Path('o.safetensors'))"
    )
    command = f"set -o pipefail; '{sys.executable}' -c \"{program}\" {stream}"
    done = subprocess.run(
        ["bash", "-c", command], env=os.environ | environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and not done.stderr, done.stderr
    assert "success" in done.stdout or stream or "COLUMNS" in environment


PARTS = {
    "mod_a": "from mod_b import SCALE\nfrom torch import nn\nclass Net(nn.Module):\n"
    "    def forward(self, x):\n        return x * SCALE\ndef make():\n    return Net()\n",
    "mod_b": "SCALE = 0.5\n",
}


@pytest.mark.parametrize("changed", PARTS)
def test_the_tag_holds_the_modules_that_the_model_is_made_of(tmp_path, monkeypatch, changed):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(own, "resuming", lambda *inputs: {"tag": str(inputs[3:])})
    tags = []
    for change in ("", "", "# another\n"):
        for name, text in PARTS.items():
            Path(f"{name}.py").write_text(text + (change if name == changed else ""))
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
        model = own.load_model("mod_a:make")
        tags.append(own.resuming_own(Path("o.safetensors"), model, "reconstruction", None, 1)["tag"])
    assert tags[0] == tags[1] != tags[2]
    for name in PARTS:
        sys.modules.pop(name, None)
