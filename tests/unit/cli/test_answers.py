"""What `uae render`, `report` and `verify` answer: the scale, where the output is, what differs from git."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests import record_files
from tests.unit.paper.test_paper import RECORDS
from uae import check
from uae.cli import app, scales
from uae.errors import InputError
from uae.paper import committed

ROOT = Path(__file__).parents[3]


def run(*arguments):
    return CliRunner().invoke(app, list(map(str, arguments)))


def save(scale: str) -> Path:
    for r in RECORDS:
        folder = Path("results") / scale / "records" / "reconstruction" / r.dataset / r.model
        r.save(record_files.path(folder, r.method, r.seed, r.draw))
    return Path("results") / scale


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("there", "scale", "said"),
    [
        (["preview"], "preview", "scale preview"),
        (["preview", "paper"], "paper", "scale paper (others with records: preview)"),
        (["preview", "reduced"], "paper", "from reduced (others with records: reduced, preview)"),
        (["mine"], "mine", "scale mine"),
    ],
)
def test_the_default_scale_is_the_largest_that_has_records(here, there, scale, said):
    for name in there:
        save(name)
    found, _, text = scales.chosen(Path("results"), None)
    assert found == scale and said in text
    answered = run("render", "table4", "--out", "out")
    assert answered.exit_code == 0 and "table4.csv, table4.md, table4.tex in out" in answered.stdout
    assert f"scale {scale}" in answered.stdout
    assert f"scale {scale}" in run("verify").output


def test_a_scale_whose_replacements_are_gone_stands_alone_and_says_so(here):
    results = save("paper")
    report = ("report", results, "--out", "r.html")
    metrics = ("metrics", results, "--out", "m.json")
    for command in (("render", "table4"), ("render", "all"), ("verify",), report, metrics):
        answered = run(*command)
        assert answered.exit_code == 0, command
        assert "results/reduced: missing ones are not replaced" in answered.stderr
        assert "missing records from" not in answered.output
    save("reduced")
    assert "missing records from reduced" in run(*report).output


def test_a_folder_s_headline_numbers_do_not_depend_on_the_working_directory(here, monkeypatch):
    """Its name says which scale it is, and which other scale's records replace missing ones."""
    save("reduced")
    results = save("paper")
    shutil.rmtree(results / "records")
    run("metrics", results, "--out", "from-above.json")
    monkeypatch.chdir(results)
    assert run("metrics", ".", "--out", here / "from-inside.json").exit_code == 0
    assert Path(here, "from-inside.json").read_bytes() == Path(here, "from-above.json").read_bytes()


def test_a_scale_of_ones_own_is_given_by_its_file(here):
    """As the workflow, `uae` then takes the file's settings, and the records of the scale that it names."""
    Path("own").mkdir()
    Path("own/mine.yaml").write_text("extends: paper\n")
    save("mine")
    save("reduced")
    for command in (("render", "table4"), ("render", "all", "--out", "out"), ("verify",)):
        answered = run(*command, "--scale", "own/mine.yaml")
        assert answered.exit_code == 0 and "scale mine, missing records from reduced" in answered.output
        alone = run(*command, "--scale", "own/mine.yaml", "--fill", "none")
        assert alone.exit_code == 0 and "missing" not in alone.output
        assert "no-scale.yaml" in str(run(*command, "--scale", "no-scale.yaml").exception)
    answered = run("check", "--scale", "own/mine.yaml")
    assert answered.exit_code == 0 and "the settings of the files" not in answered.output
    assert "not checked: the settings of the files" in run("check", "--scale", "mine").output
    assert "no-scale" in str(run("check", "--scale", "no-scale.yaml").exception)


def test_without_records_one_is_told_what_to_do(here):
    assert "no scale has records here; run `make`" in str(run("verify").exception)


def git(*arguments):
    subprocess.run(["git", "-c", "user.name=n", "-c", "user.email=e@x", *arguments], check=True)


def test_what_was_rendered_is_compared_with_what_is_committed(here):
    results = save("preview")
    run("render", "table4", "--out", results / "tables")
    assert committed.answer((results / "tables").iterdir()) == ""  # no git
    git("init", "-q")
    assert "identical" not in run("render", "table4", "--out", "new").stdout
    git("add", "results")
    git("commit", "-qm", "x")
    assert "1 item, identical to the committed one\n" in run("render", "table4", "--out", "new").stdout
    shutil.copy("new/table4.md", "new/other.md")  # one that is not committed
    Path("new/table4.md").write_text("changed")
    text = "1 item; other than the committed: table4"
    assert committed.answer(Path("new").iterdir(), results / "tables") == text
    assert "committed" not in run("render", "table4", "--out", "new", "--compact").stdout


def test_all_items_are_those_of_one_at_a_time(here):
    results = save("preview")
    answered = run("render", "all", "--out", results)
    assert answered.exit_code == 0 and f"items in {results}: scale preview" in answered.stdout
    made = set(results.glob("tables/*"))
    assert {path.stem for path in made} >= {"table4", "seeds"}
    for item in {path.stem for path in made}:
        run("render", item, "--out", "alone")
    assert all(path.read_bytes() == Path("alone", path.name).read_bytes() for path in made)
    # `uae check` knows what was rendered
    assert set(check.known(results)) == {f"tables/{path.name}" for path in made}
    assert "one table or figure" in str(run("render", "all", "--compact").exception)


@pytest.mark.parametrize(
    ("wrong", "meant"), [("tabel4", "table4"), ("Table 4", "table4"), ("figur5", "figure5")]
)
def test_a_mistyped_item_has_a_suggestion(here, wrong, meant):
    assert f"did you mean {meant}?" in str(run("render", wrong).exception)
    assert "did you mean" not in str(run("render", "xyz").exception)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["verify", "--scale", "papre"], "no records; did you mean --scale paper?"),
        (["verify", "--format", "jsn"], "not one of table, json, markdown; did you mean json?"),
        (["render", "figure5", "--compact"], "figure5 is a figure: --compact is for tables"),
        (["render", "seeds", "--compact"], "seeds: the paper has none of its numbers"),
    ],
)
def test_other_mistakes_say_what_is_allowed(here, arguments, text):
    save("preview")
    error = run(*arguments).exception
    assert isinstance(error, InputError) and text in str(error)


def test_the_report_takes_its_scale_from_the_folder(here):
    answered = run("report", save("preview"), "--out", "a.html")
    assert "a.html: the report of 6 records, scale preview" in answered.stdout
    assert "This is the preview" in Path("a.html").read_text()
    run("report", save("paper"), "--out", "b.html", "--fill", "none")
    assert "<b>Reproduction</b>" in Path("b.html").read_text()
    Path("results/paper").rename("elsewhere")
    Path("results/paper").symlink_to(Path("elsewhere").absolute())
    assert "scale paper" in run("report", "results/paper", "--out", "c.html", "--fill", "none").stdout
