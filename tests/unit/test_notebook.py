"""The notebook runs from top to bottom, without a network."""

import math
import re
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "docs" / "examples" / "quickstart.ipynb"


def test_the_quickstart_runs_and_shows_what_it_says(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for name in ("http_proxy", "https_proxy"):  # a download would fail
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells)  # nothing stale is published
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    text = "".join(output.get("text", "") for output in outputs)
    rate = float(re.search(r"success rate ([0-9.]+)", text)[1])
    assert 0 < rate <= 1
    adversarial, clean = (
        float(re.search(rf"mean loss of {whose} ([0-9.]+)", text)[1])
        for whose in ("the UAEs", "their originals")
    )
    assert adversarial <= clean
    errors = dict(re.findall(r"test error, (.*): ([0-9.]+)", text))
    assert list(errors) == ["original", "matched", "with UAEs"]
    # More steps from the same weights: both fit better than the original.
    assert max(float(errors["matched"]), float(errors["with UAEs"])) < float(errors["original"]) < math.inf
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 1
    assert not [*tmp_path.iterdir()]
