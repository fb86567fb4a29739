"""What README and docs show is what works. Their commands are in tests/workflow/test_commands.py."""

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import torch

from uae import models
from uae.data import catalogue
from uae.paper import claims, filling

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "data" / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!http)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_examples_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"model": models.build("dense", (1, 8, 8), latent=4).eval(), "images": torch.rand(2, 1, 8, 8)}
    for code in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL):
        # Fewer steps: the example is tested, not the attack.
        exec(code.replace("steps=40", "steps=2").replace("inner_steps=20", "inner_steps=2"), dict(names))
        assert (tmp_path / "uae.safetensors").exists()


EXAMPLES = sorted((ROOT / "docs" / "examples").glob("*.py"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_examples_run(example, tmp_path):
    run = subprocess.run(
        [sys.executable, str(example)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    rate = re.search(r"success rate ([0-9.]+)", run.stdout)
    assert rate and 0 < float(rate[1]) <= 1, run.stdout
    assert f"docs/examples/{example.name}" in example.read_text()  # how to run it


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_files_that_pages_name_exist(page):
    named = re.findall(
        r"`((?:src|tests|workflow|config|docs|benchmarks|profiles)/[\w./*-]*)`", page.read_text()
    )
    for name in named:
        assert list(ROOT.glob(name.rstrip("/"))), f"{page.name} names {name}"


def sources(entry: catalogue.Entry, name: str) -> str:
    """Where the files of a data set come from, for data/README.md."""
    if entry.urls:
        return ", ".join(f"[{urlsplit(url).hostname}]({url})" for url in entry.urls)
    if not entry.files:
        return "inside a Python package"
    return f"a mirror only: `{entry.mirror_folder or catalogue.folder(name)}/{', '.join(entry.files)}`"


def test_the_table_of_data_is_that_of_the_catalogue():
    lines = [
        "| name | stands for | what it is | train / test | from | licence |",
        "|---|---|---|---|---|---|",
    ]
    for name, entry in catalogue.entries().items():
        counts = f"{entry.train:,} / {entry.test:,}"
        cells = [f"`{name}`", entry.stands_for, entry.title, counts, sources(entry, name), entry.licence]
        lines.append(f"| {' | '.join(cells)} |")
    table = "\n".join(lines)
    assert table in (ROOT / "data" / "README.md").read_text(), f"data/README.md should have\n{table}"


def test_the_test_command_is_the_one_that_the_readme_gives():
    assert (
        "make test" in (ROOT / ".ci" / "run").read_text() and "make test" in (ROOT / "README.md").read_text()
    )


def test_the_verdicts_in_words_are_those_of_the_records():
    found = claims.evaluate([*filling.load(ROOT / "results" / "paper", "reduced").values()])
    count = Counter(verdict.verdict for verdict in found if not verdict.claim.ours)
    yes, partly, unclear, no, flat, missing = (count[name] for name in claims.VERDICTS)
    for page, words in {
        "README.md": f"{yes} of its claims reproduced, {partly} partly, {unclear} were inconclusive, "
        f"{no} did not and {missing} were not run; for {flat} the UAEs are their originals",
        "docs/results.md": f"{yes} claims reproduced, {partly} partly, {unclear} inconclusive, "
        f"{no} not, {flat} no perturbation, {missing} not run",
    }.items():
        assert words in " ".join((ROOT / page).read_text().split()), page
