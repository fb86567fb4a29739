"""The committed records render to the committed tables and figures, on a machine without PyTorch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
BLOCKED = ("torch", "numba", "torchvision", "sklearn", "mlxtend", "dvc")


def test_a_fresh_clone_renders_the_same_bytes_without_torch(tmp_path):
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
    # Modules of these names stand first on the path and fail: as good as not installed.
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    for name in BLOCKED:
        (blocked / f"{name}.py").write_text(f"raise ImportError('{name} is not to be imported here')\n")
    environment = os.environ | {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": os.pathsep.join([str(clone / "src"), str(blocked)]),
    }
    # As `make figures` does; test_workflow.py renders frozen records by Snakemake
    command = ["uae", "render", "all", "--scale", "paper", "--out", "results/paper"]
    run = subprocess.run(command, cwd=clone, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "items, identical to the committed ones" in run.stdout
    changed = subprocess.run(
        ["git", "status", "--porcelain"], cwd=clone, capture_output=True, text=True, check=True
    ).stdout
    assert changed == ""
