"""Adding a model, a data set, an attack and an experiment as CONTRIBUTING.md says, by tests/trials."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TRIALS = ROOT / "tests" / "trials"

# Of each trial: the places that it touches, and a file that it asks for, which is made with what it needs.
CASES = {
    "model": (
        ["src/uae/models/autoencoders.py", "src/uae/models/__init__.py", "config/scales"],
        "records/reconstruction/mnist/linear/matched/seed0.json",
    ),
    "data": (
        ["src/uae/data/catalogue.yaml", "src/uae/data/readers", "config/scales"],
        "records/reconstruction/wine/concrete/original/seed0.json",
    ),
    "attack": (
        ["config/config.yaml", "config/scales"],
        "records/reconstruction/mnist/dense/larger-steps/seed0.json",
    ),
    "experiment": (
        [
            "src/uae/config",
            "config/scales",
            "src/uae/stages/evaluate",
            "src/uae/plan",
            "src/uae/paper",
            "workflow/report",
        ],
        "records/noisy/mnist/dense/original/seed0.json",
    ),
}
# Makes the files of a plan that a record is made from, in their order, and the record
MAKE = """
import json, sys
from pathlib import Path
from uae import config, plan
from uae.cli.run import run
from uae.data import catalogue, prepared

wanted = sys.argv[1]
jobs = plan.plan(config.load({"scale": "trial"}))
order = []

def need(path):
    if path in jobs:
        for file in jobs[path].files:
            need(file)
        order.append(path)
    elif not Path(path).exists():
        data = Path(path).stem
        prepared.prepare(data, Path("data/raw") / catalogue.folder(data), Path(path))

need(wanted)
run(json.dumps([jobs[path]._asdict() for path in dict.fromkeys(order)]), "cpu", "{}")
"""


@pytest.mark.parametrize("name", CASES)
def test_a_trial_touches_few_places_and_runs(name, tmp_path):
    places, wanted = CASES[name]
    diff = TRIALS / f"{name}.diff"
    numbers = subprocess.check_output(["git", "apply", "--numstat", diff], cwd=ROOT, text=True)
    touched = [line.split("\t")[2] for line in numbers.splitlines()]
    assert len(places) <= (6 if name == "experiment" else 3)
    assert all(any(path.startswith(place) for place in places) for path in touched)

    # Tracked files as they are, committed or not
    for file in subprocess.check_output(
        ["git", "ls-files", "src", "config", "workflow"], cwd=ROOT, text=True
    ).splitlines():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_bytes((ROOT / file).read_bytes())
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    subprocess.run(["git", "apply", diff], cwd=tmp_path, check=True)
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "src")}
    command = [sys.executable, "-c", MAKE, f"results/trial/{wanted}"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    record = json.loads((tmp_path / "results" / "trial" / wanted).read_text())
    assert 0 < record["metrics"]["test_error"] < 1
    if name == "experiment":  # its table
        command = [sys.executable, "-m", "uae", "render", "noisy", "--scale", "trial"]
        subprocess.run(command, cwd=tmp_path, env=environment, check=True)
        assert f"{record['metrics']['test_error']:.5f}" in (tmp_path / "noisy.md").read_text()
