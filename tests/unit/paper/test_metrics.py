"""The headline numbers that `dvc metrics` compares are those of the committed records."""

import json
from collections import Counter
from pathlib import Path
from statistics import fmean

import pytest
from typer.testing import CliRunner

from uae.cli.common import app
from uae.paper import metrics

RESULTS = Path(__file__).parents[3] / "results"


@pytest.mark.parametrize(("scale", "fill"), [("paper", "reduced"), ("reduced", None)])
def test_the_committed_numbers_are_current(scale, fill):
    """If not: snakemake results/paper/metrics.json --cores 1 --config scale=paper records=frozen"""
    committed = json.loads((RESULTS / scale / "metrics.json").read_text())
    assert committed == metrics.numbers(RESULTS / scale, fill)


def test_errors_and_rates_are_means_over_the_records_of_a_row():
    """Against the JSON files, read without the package."""
    found = json.loads((RESULTS / "reduced" / "metrics.json").read_text())
    rows = 0
    for metric in ("test_error", "asr"):
        for row, methods in found[metric].items():
            variant, _, model = row.rpartition("/")
            folder = variant.partition("@")[0].partition("-")[0]
            for method, value in methods.items():
                paths = RESULTS.glob(f"reduced/records/reconstruction/{folder}/{model}/{method}/*.json")
                values = [json.loads(path.read_text())["metrics"][metric] for path in paths]
                assert value == pytest.approx(fmean(values), rel=1e-5)
                rows += 1
    assert rows > 20


def test_verdicts_are_counted_as_verify_prints_them(monkeypatch):
    monkeypatch.chdir(RESULTS.parent)
    result = CliRunner().invoke(app, ["verify", "--scale", "paper", "--format", "json"])
    printed = Counter(
        v["verdict"].replace(" ", "_") for v in json.loads(result.stdout)["paper"] if not v.get("ours")
    )
    counts = json.loads((RESULTS / "paper" / "metrics.json").read_text())["verdicts"]
    assert {name: count for name, count in counts.items() if count} == printed
