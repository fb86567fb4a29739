"""`pip install uae-repro` brings torch, numpy and safetensors: what works with these alone."""

import os
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def behind(requirements: list[str]) -> set[str]:
    """The distributions that come with some requirements."""
    found, waiting = set(), [Requirement(r).name.lower() for r in requirements]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            needs = map(Requirement, metadata.requires(name) or [])
            waiting += [r.name.lower() for r in needs if not r.marker or r.marker.evaluate({"extra": ""})]
    return found


def run(code: str, *requirements: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run code where only what comes with the requirements can be imported of what is installed."""
    there = {name.replace("_", "-") for name in behind([*PROJECT["dependencies"], *requirements])}
    missing = [
        module
        for module, owners in metadata.packages_distributions().items()
        if not {owner.lower().replace("_", "-") for owner in owners} & {*there, PROJECT["name"], "setuptools"}
    ]
    assert {"numba", "pydantic", "typer"} - there <= set(missing)
    return subprocess.run(
        [sys.executable, "-c", f"import sys; sys.modules.update(dict.fromkeys({missing}))\n{code}"],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


ATTACKS = """
import torch, uae, uae.bundle
torch.manual_seed(0)
model = uae.models.build("convolutional", (1, 8, 8), widths=(6, 4)).eval()
images = torch.rand(3, 1, 8, 8)
labels = torch.tensor([0, 1, 2])
classifier = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 3)).eval()
mine = uae.MINE(critic={critic!r}, inner_steps=3, lr=1e-3)
result = uae.MinMaxAttack(steps=5, init="noise", mi=mine)(uae.losses.Reconstruction(model), images, seed=0)
uae.PenaltyAttack(steps=2, mi=mine)(uae.losses.Reconstruction(model), images, seed=0)
uae.PGD(eps=0.1, steps=2)(uae.losses.CrossEntropy(classifier, labels), images, seed=0)
result.save({out!r})
"""


@pytest.mark.parametrize("critic", ["vanilla", "released"])
def test_the_attacks_run_without_numba_to_the_same_numbers(critic, tmp_path):
    from uae.attacks import AttackResult

    for name, extras in {"bare": [], "numba": PROJECT["optional-dependencies"]["numba"]}.items():
        code = ATTACKS.format(critic=critic, out=f"{name}.safetensors")
        shown = run(code, *extras, cwd=tmp_path)
        assert shown.returncode == 0, shown.stderr
    bare, compiled = (AttackResult.load(tmp_path / f"{name}.safetensors") for name in ("bare", "numba"))
    assert (bare.adv - compiled.adv).abs().max() < 1e-4
    assert (bare.mi - compiled.mi).abs().nan_to_num().max() < 1e-4


def test_the_library_does_not_take_numba_where_it_is_blocked(tmp_path):
    assert "numba" in run("import numba", cwd=tmp_path).stderr


def test_the_command_says_in_a_line_what_to_install(tmp_path):
    shown = run("import uae.__main__; uae.__main__.main()", cwd=tmp_path)
    assert shown.returncode == 1
    assert len(shown.stderr.strip().splitlines()) == 1, shown.stderr
    assert "'uae-repro[cli]'" in shown.stderr
    assert PROJECT["scripts"]["uae"] == "uae.__main__:main"


def test_the_extra_of_the_command_is_enough_to_attack(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from torch import nn\ndef make():\n    return nn.Sequential(nn.Flatten(), nn.Linear(4, 4))\n"
    )
    code = """
import sys, numpy as np, uae.__main__
np.save("x.npy", np.random.default_rng(0).random((3, 4), dtype=np.float32))
command = "uae attack --model mine:make --data x.npy --out out.safetensors --steps 2"
sys.argv = command.split()
uae.__main__.main()
"""
    shown = run(code, *PROJECT["optional-dependencies"]["cli"], cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert (tmp_path / "out.safetensors").exists()


def test_a_command_of_the_workflow_names_its_extra(tmp_path):
    command = ["uae", "verify", "--results", str(ROOT / "results")]
    code = f"import sys, uae.__main__; sys.argv = {command}; uae.__main__.main()"
    shown = run(code, *PROJECT["optional-dependencies"]["cli"], cwd=tmp_path)
    assert shown.returncode == 1
    assert "'uae-repro[workflow]'" in shown.stderr and "Traceback" not in shown.stderr
    assert len(shown.stderr.strip().splitlines()) == 1, shown.stderr
