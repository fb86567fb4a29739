"""A workspace: a copy of the project in which the tiny scale takes the preview's place, run once by DVC."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import commands

ROOT = Path(__file__).parents[2]
PARTS = (
    "Snakefile", "config", "workflow", "profiles", "src", "environment.yml", "pyproject.toml", "dvc.yaml",
    ".dvc/config", ".dvc/plots", ".dvcignore", ".gitignore",
)  # fmt: skip


class Workspace:
    def __init__(self, folder: Path):
        self.folder = folder
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        self.environment = os.environ | {
            "PATH": path,
            "PYTHONPATH": str(folder / "src"),
            "CUDA_VISIBLE_DEVICES": "",
            "DVC_NO_ANALYTICS": "1",
        }
        self.environment.pop("UAE_DATA_MIRROR", None)

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        run = commands.run(command, self.folder, self.environment)
        assert not check or run.returncode == 0, f"{command}\n{run.stdout}\n{run.stderr}"
        return run

    def plan(self, *arguments: str) -> dict[str, int]:
        """How many jobs of each rule `snakemake -n` would run; a row's rules count by their first word."""
        run = self.run("snakemake", "-n", "--cores", "2", *arguments)
        text = run.stdout + run.stderr
        if "Nothing to be done" in text:
            return {}
        lines = text.split("Job stats:")[1].split("total")[0].splitlines()[3:]
        counts: dict[str, int] = {}
        for rule, count in (line.split() for line in lines if line.strip()):
            kind = rule.partition("_")[0]
            counts[kind] = counts.get(kind, 0) + int(count)
        counts.pop("all", None)
        return counts

    def planned(self, *arguments: str) -> set[str]:
        """The full names of the rules that `snakemake -n` would run."""
        run = self.run("snakemake", "-n", "--cores", "2", *arguments)
        text = run.stdout + run.stderr
        if "Nothing to be done" in text:
            return set()
        lines = text.split("Job stats:")[1].split("total")[0].splitlines()[3:]
        return {line.split()[0] for line in lines if line.strip()} - {"all"}

    def edited(self, name: str, old: str, new: str):
        """A context in which a file is changed."""
        return Edited(self.folder / name, old, new)

    def files(self, folder: str) -> dict[str, bytes]:
        base = self.folder / folder
        return {str(p.relative_to(base)): p.read_bytes() for p in sorted(base.rglob("*")) if p.is_file()}


class Edited:
    def __init__(self, path: Path, old: str, new: str):
        self.path, self.old, self.new = path, old, new

    def __enter__(self):
        self.text = self.path.read_text()
        assert self.old in self.text
        self.path.write_text(self.text.replace(self.old, self.new))

    def __exit__(self, *_):
        self.path.write_text(self.text)


KERNELS = """
import torch, uae
from uae import losses, models
few = {"count": 4, "dim": 8}
redrawn = uae.RandomSampling(**few, power=0.5, standardize=True, redraw=True)
for network, critic, samples in (
    ("convolutional", "vanilla", None),
    ("dense", "vanilla", uae.RandomSampling(**few)),
    ("dense", "vanilla", redrawn),
    ("dense", "released", redrawn),
):
    mine = uae.MINE(critic, samples=samples, inner_steps=1)
    loss = losses.Reconstruction(models.build(network, (1, 28, 28)).eval())
    uae.MinMaxAttack(steps=1, mi=mine)(loss, torch.rand(3, 1, 28, 28))
"""


@functools.cache
def compile_kernels() -> None:
    """Let numba cache the usual kernels beside the sources: each copy would compile them again."""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    subprocess.run([sys.executable, "-c", KERNELS], env=environment, check=True)


def left_out(folder: str, names: list[str]) -> set[str]:
    """Of the caches beside the sources a copy takes the kernels, which have the sources' times."""
    if Path(folder).name == "__pycache__":
        return {name for name in names if not name.endswith((".nbi", ".nbc"))}
    return {name for name in names if name.endswith(".egg-info")}


def copy(target: Path) -> Workspace:
    compile_kernels()
    for part in PARTS:
        (target / part).parent.mkdir(parents=True, exist_ok=True)
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, target / part, ignore=left_out)
        else:
            shutil.copy(source, target / part)
    shutil.copy(ROOT / "tests" / "tiny.yaml", target / "config" / "scales" / "preview.yaml")
    return Workspace(target)


@pytest.fixture(scope="session")
def workspace(tmp_path_factory) -> Workspace:
    """Run end to end by `dvc repro preview`, which runs Snakemake. Tests leave it as they find it."""
    workspace = copy(tmp_path_factory.mktemp("workspace"))
    workspace.run("git", "init", "-q")
    workspace.run("git", "config", "user.email", "test@example.org")
    workspace.run("git", "config", "user.name", "Test")
    workspace.run("git", "add", "-A")
    workspace.run("git", "commit", "-qm", "start")
    workspace.run("dvc", "repro", "preview")
    return workspace
