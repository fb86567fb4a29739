"""What README and docs show is what works. Their commands are in tests/workflow/test_commands.py."""

import ast
import io
import os
import re
import subprocess
import sys
import tokenize
import tomllib
from collections import Counter
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from uae import records
from uae.data import catalogue
from uae.paper import claims, filling, tables

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "data" / "README.md",
    ROOT / "benchmarks" / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target, anchor in re.findall(r"\]\((?!http)([^)#\s]*)#?([^)\s]*)\)", page.read_text()):
        found = page.parent / target if target else page
        assert found.exists(), f"{page.name} links to {target}"
        assert not anchor or anchor in anchors(found), f"{page.name} links to {target}#{anchor}"


def anchors(page: Path) -> list[str]:
    """The anchors of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return [re.sub(r"\s", "-", re.sub(r"[^\w\s-]", "", heading.lower())) for heading in headings]


REFUSED = (
    *("a look at", "nothing for", "so here", "of its own", "tells what", "where there is one"),
    *(
        "where there is none",
        "that is none",
        "where it is none",
        "and there is none",
        "is no reason",
        "to be had",
    ),
)
WORDS = 40


def blocks(text: str) -> list[str]:
    """The paragraphs and list items of a page, each in one line: no code, tables, headings or link targets.

    >>> blocks("# A\\n\\nOne [two](three.md)\\nfour.\\n\\n- five\\n- `si x`\\n\\n```\\nmake\\n```\\n| a |\\n")
    ['One two four.', '- five', '- code']
    """
    text = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"^(#|\||!\[|:::|    options).*$", "", text, flags=re.MULTILINE)
    text = re.sub(r"`[^`]+`", "code", re.sub(r"\]\([^)]*\)", "", text).replace("[", ""))
    found = re.split(r"\n\s*\n|\n(?=\s*(?:[-*]|\d+\.) )", text)
    return [line for line in (" ".join(block.split()) for block in found) if line]


def long_sentences(text: str) -> list[str]:
    """The sentences of a page with more than 40 words."""
    ends = re.compile(r"(?<=[.!?])[*\"')]*\s")
    return [s for block in blocks(text) for s in ends.split(block) if len(s.split()) > WORDS]


def test_a_long_sentence_is_found_and_short_ones_are_not():
    long = "word " * WORDS + "end."
    assert long_sentences(f"Short.\n\n- A short one. {long}\n") == [long]
    assert not long_sentences("A sentence. " * WORDS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_prose_is_plain(page):
    text = page.read_text()
    assert not long_sentences(text)
    words = " ".join(blocks(text)).lower()
    assert not [phrase for phrase in REFUSED if phrase in words]


def texts(source: Path) -> str:
    """Comments, docstrings and strings of a Python file, a bar between them; all of another file.

    Strings that Python joins, and all comments, are one text. A value in an f-string is {}.
    """
    code = source.read_text()
    if source.suffix != ".py":
        return " ".join(code.replace("\n# ", " ").split()).lower()
    found = [" ".join(token.string.strip("# ") for token in tokens(code) if token.type == tokenize.COMMENT)]
    nodes = [*ast.walk(ast.parse(code))]
    joined = [node for node in nodes if isinstance(node, ast.JoinedStr)]
    parts = {id(part) for node in joined for part in node.values}
    for node in joined:
        found.append(
            "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
        )
    found += [
        node.value
        for node in nodes
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts
    ]
    return " | ".join(" ".join(text.split()) for text in found).lower()


def tokens(code: str) -> Iterator[tokenize.TokenInfo]:
    return tokenize.generate_tokens(io.StringIO(code).readline)


def test_texts_are_found_wherever_they_are(tmp_path):
    (tmp_path / "a.py").write_text('"""One\n    two."""\n# three\n# four\nx = f"five {1} " "six"\n')
    assert texts(tmp_path / "a.py") == "three four | five {} six | one two."
    (tmp_path / "a.yaml").write_text("# One\n# two\nkey: >-\n  three\n  four\n")
    assert texts(tmp_path / "a.yaml") == "# one two key: >- three four"


SOURCES = [
    path
    for pattern in ("src/uae/**/*.py", "src/uae/**/*.yaml", "config/**/*.yaml", "workflow/rules/*.smk",
                    "workflow/report/*.rst", "profiles/*/*.yaml", "Snakefile", "Makefile", "dvc.yaml")
    for path in sorted(ROOT.glob(pattern))
]  # fmt: skip


def test_the_prose_of_the_sources_is_plain():
    """Docstrings, comments, messages, `--help`, captions, notes and reasons."""
    assert len(SOURCES) > 200
    found = [f"{path.relative_to(ROOT)}: {p}" for path in SOURCES for p in REFUSED if p in texts(path)]
    assert not found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_lines_are_wrapped(page):
    code = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    long = [line for line in code.splitlines() if len(line) > 110]
    assert not [line for line in long if " " in line.strip() and not re.match(r"\||!\[|#|`", line)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_rows_of_a_table_stand_together(page):
    """A row without a head above it is shown as text."""
    heads = re.findall(r"(?<!\|)\n(\|.*\n)(?!\|[-:])", "\n" + page.read_text())
    assert not heads


def run(*command: str, folder: Path) -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


PYTHON = {
    f"{page.name}-{number}": code
    for page in PAGES
    for number, code in enumerate(re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL))
}


@pytest.mark.parametrize("code", PYTHON.values(), ids=PYTHON)
def test_python_examples_run_as_they_are_pasted(code, tmp_path):
    done = run("-c", code, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "save(" not in code or (tmp_path / "uae.safetensors").exists()


EXAMPLES = sorted((ROOT / "docs" / "examples").glob("*.py"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_examples_run(example, tmp_path):
    done = run(str(example), folder=tmp_path)
    assert done.returncode == 0, done.stderr
    rate = re.search(r"success rate ([0-9.]+)", done.stdout)
    assert rate and 0 < float(rate[1]) <= 1, done.stdout
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
    numbers = [count[name] for name in claims.VERDICTS]
    yes, agreeing, partly, unclear, no, flat, missing = numbers
    held = yes + agreeing
    good = [v.caveats for v in found if v.verdict in (claims.REPRODUCED, claims.AGREES) and not v.claim.ours]
    few, unknown = (sum(c in v for v in good) for c in ("fewer than 100 images", "spread unknown"))
    of = f"{'all ' * (unknown == held)}{unknown}"
    weak = f"{few} rest on fewer than 100 images and {of} on runs whose spread is unknown"
    weak = f"f these {held} claims, {weak}"
    head = f"| {' | '.join(claims.VERDICTS)} | {'|---' * len(numbers)}| | {' | '.join(map(str, numbers))} |"
    for page, words in {
        "README.md": head,
        "docs/results.md": f"{yes} claim{'s' * (yes != 1)} reproduced, {agreeing} in agreement, "
        f"{partly} partly, {unclear} inconclusive, {no} not, {flat} no perturbation, {missing} not run",
    }.items():
        text = " ".join((ROOT / page).read_text().split())
        assert words in text and weak in text, page


def test_the_site_builds_and_fetches_nothing(tmp_path):
    done = run("-m", "mkdocs", "build", "--strict", "-d", str(tmp_path), folder=ROOT)
    assert done.returncode == 0, done.stderr
    pages = {page: page.read_text() for page in tmp_path.rglob("*.html")}
    assert len(pages) > 12 and "class MinMaxAttack" not in pages[tmp_path / "api" / "index.html"]
    for page, text in pages.items():
        assert not re.findall(r"<(?:script|img|iframe)[^>]*src=\"?https?:", text), page
        assert not re.findall(r"<link[^>]*rel=\"?(?:stylesheet|preconnect)\"?[^>]*href=\"?https?:", text), (
            page
        )


def test_the_badges_and_the_citation_say_what_the_project_says():
    badges = " ".join(re.findall(r">([^<>\n]+)<", (ROOT / "docs" / "badges.svg").read_text()))
    python = PROJECT["requires-python"].replace(">=", "≥ ")
    expected = ("Python", python, "licence", PROJECT["license"], "version", PROJECT["version"])
    assert badges.split("  ") == [*expected] or badges == " ".join(expected)
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == PROJECT["version"] and citation["license"] == PROJECT["license"]


RECORDS = [*filling.load(ROOT / "results" / "paper", "reduced").values()]


def seconds(experiment: str, *rows: str, device: str, scale: str = "reduced") -> float:
    """The seconds of all jobs behind the records of some rows of a scale, each job once."""
    found = [
        r
        for r in records.load(ROOT / "results" / scale / "records")
        if r.experiment == experiment and any(fnmatch(f"{r.dataset}/{r.model}", row) for row in rows)
    ]
    return sum(p.seconds for _, _, p in records.jobs(found) if p.device.startswith(device))


def test_the_times_of_the_readme_are_those_of_the_records():
    small = "isolet/*", "coil-20*/*", "mice-protein*/*"
    hours = {
        "Table 4, MNIST dense": seconds("reconstruction", "mnist/dense", device="CPU", scale="paper"),
        "Table 4, MNIST convolutional": seconds("reconstruction", "mnist/convolutional", device="CPU"),
        "Table 5, SVHN": seconds("reconstruction", "svhn-*/convolutional", device="NVIDIA H100"),
        "Table 6, three small sets": seconds("reconstruction", *small, device="CPU", scale="paper"),
        "Table 6, MNIST and Fashion-MNIST": seconds("reconstruction", "*mnist/concrete", device="CPU"),
        "Tables 1 to 3, Figures 1 to 4": seconds("supervised", "*", device="CPU"),
        "Figures 6 to 10 (a), MNIST": seconds("robustness", "mnist/*", device="CPU"),
    }
    page = (ROOT / "README.md").read_text()
    for item, took in hours.items():
        row = next(line for line in page.splitlines() if line.startswith(f"| {item} |"))
        time = f"{took / 60:.1f} min" if took < 3600 else f"{took / 3600:.1f} h"
        assert f"| {time}" in row, f"{item}: {time}, but the README has {row}"


def mean(metric: str, **what: str | int) -> float:
    found = [r.metrics[metric] for r in RECORDS if all(getattr(r, k) == v for k, v in what.items())]
    return sum(found) / len(found)


def test_the_numbers_of_the_readme_are_those_of_the_records():
    page = " ".join((ROOT / "README.md").read_text().split()).replace(" %", "%")
    mi = [
        mean("mi_mean", experiment="supervised", dataset=dataset, model="classifier", method=method)
        for dataset in ("mnist", "cifar10")
        for method in ("minmax-vanilla", "penalty-vanilla")
    ]
    assert (
        "It reports {:.2f} nats of mutual information on MNIST, the penalty method {:.2f}; "
        "on CIFAR-10 {:.2f} and {:.2f}".format(*mi)
    ) in page
    estimates = [
        mean(f"mi_estimate@{n}", experiment="estimator", model="random-sampling", method="mine-uae")
        for n in (0, 256)
    ]
    assert "it reports {:.2f} to {:.2f} nats".format(*estimates) in page
    twenty = mean("mi_mean", experiment="supervised", dataset="mnist", method="penalty-vanilla-20-steps")
    assert (
        f"With the authors' 20 critic steps the penalty method reports {twenty:.2f} on 16 images of MNIST"
        in page
    )


def test_the_steps_of_the_control_are_those_of_the_records():
    """Early stopping gives the control of Table 5 other steps than the retraining with UAEs."""
    page = " ".join((ROOT / "docs" / "method.md").read_text().split())
    rows = ("svhn-flip-rotation", "svhn-noise", "svhn-flip-rotation-noise")
    steps = [
        [mean("steps", dataset=row, method=method) for method in ("matched", "mine-uae")] for row in rows
    ]
    more = [100 * (control / uae - 1) for control, uae in steps]
    text = "takes {:.0f} and {:.0f} % fewer steps than MINE-UAE in the first two rows and {:.0f} % more"
    assert text.format(-more[0], -more[1], more[2]) in page
    assert "Training stops early" in tables.layouts()["tables"]["table5"]["caption"]


def test_the_gains_of_the_readme_are_those_of_the_records():
    page = " ".join((ROOT / "README.md").read_text().split()).replace(" %", "%")
    gains, rates = {}, []
    for r in RECORDS:
        if (r.experiment, r.method) == ("reconstruction", "mine-uae") and r.dataset in ("mnist", "svhn"):
            if r.model == "concrete":
                continue
            row = {name: getattr(r, name) for name in ("experiment", "dataset", "model", "variant", "seed")}
            original, uae, matched = (
                mean("test_error", method=m, **row) for m in ("original", "mine-uae", "matched")
            )
            gains[r.variant, r.model, r.seed] = 1 - uae / original, 1 - matched / original
            rates.append(r.metrics["asr"])
    ours = [gain for gain, _ in gains.values()]
    assert f"by {100 * min(ours):.0f} to {100 * max(ours):.0f}%" in page
    behind = {key[:2] for key, (gain, matched) in gains.items() if matched < gain - 0.012}
    assert len({key[:2] for key in gains}) == 7 and behind == {("mnist@10000", "adversarial")}
    gain, matched = gains["mnist@10000", "dense", 0]
    assert f"(MNIST dense: by {matched:.1%}, with UAEs by {gain:.1%})" in page
    assert f"{100 * min(rates):.0f} to {100 * max(rates):.0f}% of the attacks succeed" in page
    every = {"experiment": "reconstruction", "dataset": "mnist", "variant": "mnist"}
    for text, model, method in (
        ("the convolutional autoencoder's error falls by {:.1%}", "convolutional", "mine-uae-released"),
        ("the control's by {:.1%} (three seeds). The sparse", "convolutional", "matched"),
        ("The sparse one's falls by {:.1%}", "sparse", "mine-uae-released"),
        ("the control's by {:.1%}. The dense", "sparse", "matched"),
        ("The dense one's falls by {:.1%}", "dense", "mine-uae-released"),
        ("the control's by {:.1%} with this seed", "dense", "matched"),
    ):
        row = every | {"model": model} | ({} if model == "convolutional" else {"seed": 0})
        ends, starts = (mean("test_error", method=m, **row) for m in (method, "original"))
        assert text.format(1 - ends / starts) in page
    dense = every | {"model": "dense"}
    ends, starts = (mean("test_error", method=m, **dense) for m in ("matched", "original"))
    assert f"and by {1 - ends / starts:.1%} over three seeds" in page
