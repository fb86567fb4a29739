"""Every command that README and docs show works: run where that is cheap, planned or looked up where not."""

from __future__ import annotations

import re
import shlex
import shutil
import tomllib

import numpy as np
import pytest
import yaml
from safetensors.numpy import save_file

from tests.workflow.conftest import ROOT, Workspace, copy
from uae import storage

PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "data" / "README.md",
    ROOT / "benchmarks" / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
DVC_GROUPS = ("exp", "metrics", "params", "plots", "queue", "remote")
PROGRAMS = ("snakemake", "uae", "make", "dvc", "python", "pip", "conda", "source")

MODEL = """
from torch import nn
def make():
    return nn.Sequential(nn.Flatten(), nn.Linear(4, 4), nn.Unflatten(1, (1, 2, 2)))
"""


def commands(text: str) -> list[str]:
    """The commands of a page: lines of fenced blocks without a language, and inline code with arguments.

    >>> python = "```python\\npass\\n```\\n"
    >>> commands(python + "`uae config` or `uae`:\\n```\\nmake test  # all\\nuae a \\\\\\n --b\\n```")
    ['make test', 'uae a --b', 'uae config']
    """
    found, prose = [], re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    for language, block in re.findall(r"^```(\w*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        if not language:
            found += re.sub(r"\\\n\s*", "", block).splitlines()
    found += [code for code in re.findall(r"`([^`\n]+)`", prose) if " " in code]
    lines = [line.split("  #")[0].strip() for line in found]
    return [line for line in lines if line.partition(" ")[0] in PROGRAMS]


def plan_of(command: str) -> str:
    """A command without what does not change Snakemake's plan, to plan once what several pages show.

    >>> plan_of("snakemake -n table4 --cores all --resources gpu=1 --config scale=paper")
    'snakemake table4 --config scale=paper'
    """
    return re.sub(r" (-n|--cores \S+|--resources gpu=\d+)(?= |$)", "", command)


SHOWN = {plan_of(command): page.name for page in PAGES for command in commands(page.read_text())}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Workspace:
    """A copy with the committed records, and a user's own model and data beside it."""
    workspace = copy(tmp_path_factory.mktemp("commands"))
    for scale in ("paper", "reduced"):
        shutil.copytree(ROOT / "results" / scale, workspace.folder / "results" / scale)
    (workspace.folder / "mymodule.py").write_text(MODEL)
    weights = {"1.weight": np.eye(4, dtype=np.float32), "1.bias": np.full(4, 0.1, np.float32)}
    save_file(weights, workspace.folder / "weights.safetensors")
    np.savez(workspace.folder / "images.npz", x=np.full((3, 1, 2, 2), 0.5, np.float32))
    checkpoint = "results/preview/checkpoints/mnist/dense/original/seed0.safetensors"
    trained = {"history": [0.5, 0.25], "steps": 4, "variant": "mnist-5k", "method": "original"}
    storage.write_tensors(workspace.folder / checkpoint, {}, trained)
    workspace.run("git", "init", "-q")
    return workspace


@pytest.mark.parametrize("command", SHOWN, ids=lambda c: f"{SHOWN[c]}: {c}")
def test_a_command_that_the_docs_show(folder, command):
    program, *arguments = shlex.split(command)
    globals()[f"check_{program}"](folder, arguments)


def check_snakemake(folder, arguments):
    if "--unlock" not in arguments:
        arguments = ["-n", *arguments]
    folder.run("snakemake", *arguments)


def check_uae(folder, arguments):
    """test_frozen.py renders all items."""
    if len(arguments) == 1 or arguments[:2] == ["render", "all"]:
        arguments = [*arguments, "--help"]
    folder.run("uae", *arguments)


def check_make(folder, arguments):
    folder.run("make", "-n", "-C", str(ROOT), *arguments)


def check_dvc(folder, arguments):
    """Stages are looked up: the other workflow tests run them, and test_dvc.py the commands of a group."""
    if arguments[0] in DVC_GROUPS:
        folder.run("dvc", *arguments[:2], "--help")
        return
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    for target in arguments[1:]:
        if target.startswith("--"):
            continue
        name, _, item = target.partition("@")
        assert name in stages, target
        assert not item or item in map(str, items(stages[name])), target
    folder.run("dvc", arguments[0], "--help")


def items(stage) -> list[str]:
    """The names after @ of a stage with foreach or matrix."""
    if "matrix" in stage:
        groups = [""]
        for values in stage["matrix"].values():
            groups = [f"{group}-{value}".strip("-") for group in groups for value in values]
        return groups
    return list(stage.get("foreach", []))


def check_python(folder, arguments):
    """Benchmarks take long; test_docs.py runs the examples."""
    if arguments[0] == "-m":
        pytest.importorskip(arguments[1])
    else:
        assert (ROOT / arguments[0]).is_file()


def check_pip(folder, arguments):
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for argument in arguments:
        if match := re.fullmatch(r"\.\[(.+)\]", argument):
            assert set(match[1].split(",")) <= set(extras)
        elif argument.endswith(".txt"):
            assert (ROOT / argument).exists()


def check_conda(folder, arguments):
    assert "environment.yml" in arguments and (ROOT / "environment.yml").exists()


def check_source(folder, arguments):
    assert arguments == [".venv/bin/activate"] and ".venv" in (ROOT / "Makefile").read_text()
