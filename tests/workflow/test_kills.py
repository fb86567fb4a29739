"""Kills at random moments and damaged files: the records in the end are those of an unbroken run."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time

import pytest

from tests.workflow.conftest import Workspace, copy

RESULTS = "results/preview"
ROW = ("--cores", "2", "--config", "only=mnist/dense")
KILLS = 8


def measured(workspace: Workspace) -> dict[str, dict]:
    """The records of the row but for where and how long they ran."""
    folder = workspace.folder / RESULTS / "records" / "reconstruction" / "mnist" / "dense"
    loaded = {str(p.relative_to(folder)): json.loads(p.read_text()) for p in sorted(folder.rglob("*.json"))}
    apart = ("provenance", "checksum")
    return {name: {k: v for k, v in r.items() if k not in apart} for name, r in loaded.items()}


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory) -> Workspace:
    workspace = copy(tmp_path_factory.mktemp("unbroken"))
    start = time.monotonic()
    workspace.run("snakemake", "table4", *ROW)
    workspace.seconds = time.monotonic() - start
    return workspace


def killed(workspace: Workspace, seconds: float) -> bool:
    """Start the run and kill its whole process group after a time; whether it was still running."""
    process = subprocess.Popen(
        ["snakemake", "table4", *ROW],
        cwd=workspace.folder,
        env=workspace.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        process.wait(seconds)
        return False
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if (workspace.folder / RESULTS).exists():  # half a table's formats are no damage
            workspace.run("uae", "check")
        return True


def test_a_run_that_is_killed_again_and_again(unbroken, tmp_path):
    workspace = copy(tmp_path / "w")
    moments = random.Random(0)
    # Within the first three quarters of an unbroken run, however fast the machine is. The earliest comes
    # first: that run compiled and read what later ones find in caches, and an ended one cannot be killed.
    longest = 0.75 * unbroken.seconds
    after = sorted(moments.uniform(1, longest) for _ in range(KILLS))
    survived = sum(killed(workspace, seconds) for seconds in after)
    assert survived  # at least one kill hit a run
    time.sleep(1)  # the last of the group's processes are gone
    workspace.run("snakemake", "--unlock", *ROW)
    workspace.run("snakemake", "table4", *ROW)
    assert measured(workspace) == measured(unbroken)
    assert workspace.run("uae", "check").returncode == 0
    left = [p for p in workspace.folder.rglob("*") if p.suffix in (".tmp", ".partial")]
    assert not left


@pytest.mark.parametrize(
    "name",
    [
        "data/prepared/mnist-5k@60.safetensors",
        f"{RESULTS}/checkpoints/mnist/dense/original/seed0.safetensors",
        f"{RESULTS}/uae/mnist/dense/mine-uae/seed0.safetensors",
        f"{RESULTS}/records/reconstruction/mnist/dense/mine-uae/seed0.json",
    ],
)
def test_a_damaged_file_is_named_and_made_again(unbroken, name):
    path = unbroken.folder / name
    before, content = measured(unbroken), path.read_bytes()
    for damaged in (b"", content[: len(content) // 2]):
        path.write_bytes(damaged)
        found = unbroken.run("uae", "check", check=False)
        assert found.returncode == 1 and name in found.stderr
    unbroken.run("uae", "check", "--delete")
    assert not path.exists()
    unbroken.run("snakemake", name, "table4", *ROW)
    assert path.exists() and measured(unbroken) == before
