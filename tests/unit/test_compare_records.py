"""The script that compares two runs sees what differs, and only that."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.unit.paper.test_paper import record
from uae import storage

SCRIPT = Path(__file__).parents[1] / "compare_records.py"


@pytest.fixture
def runs(tmp_path):
    """Two folders of a scale with the same record and the same images."""
    old, new = tmp_path / "old", tmp_path / "new"
    record("original", test_error=0.5).save(old / "records" / "a" / "seed0.json")
    storage.write_tensors(old / "records" / "figure5" / "a.safetensors", {"x": np.arange(3.0)}, {"seed": 0})
    shutil.copytree(old, new)
    return old, new


def compare(runs, *options):
    command = [sys.executable, str(SCRIPT), *map(str, runs), *options]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    return run.returncode, run.stdout + run.stderr


def edit(folder, **values):
    path = folder / "records" / "a" / "seed0.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_times_commits_and_digests_do_not_matter(runs):
    path = runs[1] / "records" / "a" / "seed0.json"
    provenance = json.loads(path.read_text())["provenance"]
    for stage in provenance.values():
        stage |= {"seconds": 9.0, "commit": "other", "peak_memory_mib": 1.0}
    edit(runs[1], provenance=provenance, checksum="other", inputs={"data": "other"})
    assert compare(runs) == (0, "the records are the same\n")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"metrics": {"test_error": 0.5000000001}}, "metrics.test_error: 0.5 -> 0.5000000001"),
        ({"metrics": {"test_error": 0.5, "asr": 1.0}}, "metrics.asr: absent -> 1.0"),
        ({"metrics": {}}, "metrics.test_error: 0.5 -> absent"),
        ({"seed": 1}, "seed: 0 -> 1"),
        ({"settings": {"lr": 0.1}}, "settings.lr: absent -> 0.1"),
    ],
)
def test_what_differs_is_named(runs, values, said):
    edit(runs[1], **values)
    code, text = compare(runs)
    assert code == 1 and f"{Path('a/seed0.json')}: {said}" in text
    every = [option for glob in ("metrics*", "seed", "settings*") for option in ("--ignore", glob)]
    assert compare(runs, *every) == (0, "the records are the same\n")


def test_images_and_missing_files_are_compared(runs):
    path = runs[1] / "records" / "figure5" / "a.safetensors"
    storage.write_tensors(path, {"x": np.array([0.0, 1.0, 3.0])}, {"seed": 0})
    assert compare(runs) == (1, f"{Path('figure5/a.safetensors')}: array x: other numbers\n")
    path.unlink()
    assert compare(runs) == (1, f"{Path('figure5/a.safetensors')}: only in {runs[0] / 'records'}\n")
    code, text = compare((runs[0], runs[0] / "none"))
    assert code == 2 and "no records" in text
