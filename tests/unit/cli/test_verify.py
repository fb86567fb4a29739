"""`uae verify`: the verdicts on the terminal, as JSON and as Markdown."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from tests.unit.paper.test_claims import claim, record
from uae.cli import app
from uae.paper import claims


@pytest.fixture
def results(tmp_path):
    loaded = [
        record("original", model="convolutional", variant="mnist@10000", test_error=0.004),
        record("mine-uae", model="convolutional", variant="mnist@10000", test_error=0.003, asr=0.5),
        record("mine-uae-released", model="convolutional", variant="mnist@10000", test_error=0.005),
    ]
    for r in loaded:
        r.save(tmp_path / "preview" / "records" / "reconstruction" / r.method / "seed0.json")
    return tmp_path


def run(results, *arguments):
    command = ["verify", "--results", str(results), *arguments]
    return CliRunner().invoke(app, command, env={"COLUMNS": "160"})


def test_verify_prints_verdicts_and_numbers(results):
    done = run(results)
    assert done.exit_code == 0
    assert "0.003 < 0.004" in done.stdout and "0.00256 < 0.00294" in done.stdout
    assert "mnist@10000" in done.stdout and "7 of 8 rows not run" in done.stdout
    assert "the authors' settings" in done.stdout and "Not run:" in done.stdout
    assert run(results, "--strict").exit_code == 1


def test_verify_as_json_and_markdown(results):
    found = json.loads(run(results, "--format", "json").stdout)
    assert {v["id"] for v in found["paper"]} == {c.id for c in claims.read()}
    rows = {v["id"]: v for v in found["released"]}["reconstruction-better"]["rows"]
    assert [(r["state"], r["ours"], r["paper"]) for r in rows if r["ours"]] == [("fails", 0.005, 0.00256)]
    text = run(results, "--format", "markdown").stdout
    assert "| partly; spread unknown | Retraining with MINE-UAEs lowers" in text and "### Not run" in text


def test_strict_passes_where_every_claim_holds(results, monkeypatch):
    monkeypatch.setattr(claims, "read", lambda: [claim(cells={"model": "convolutional"})])
    assert run(results, "--strict").exit_code == 0


def test_verify_needs_no_torch():
    code = "import sys, uae.cli, uae.paper.claims; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
