"""Names of others in tables and report: text in LaTeX, Markdown, CSV and HTML, whatever they contain."""

import html
import io
import re
from pathlib import Path

import pandas as pd
import pytest

from tests import record_files
from tests.unit.paper.test_paper import record
from uae.paper import escape, formats, render, report, tables

NAMES = [
    "my_model", "a&b", "50%", r"\input{/etc/passwd}", "$x$", "a|b", "`x`", "<script>alert(1)</script>",
    "a\nb", "=HYPERLINK(1)", "+1", "-1", "@x", "\tx", "\r=1", " =1", "＝1", "#1", "~a^b", "{x}", r"\\", "*b*",
    "[x](http://y)", "a,b", 'a"b', "![x](y)", "&lt;", "%", r"a\%",
]  # fmt: skip


def rendered(folder, model: str, variant: str) -> dict[str, str]:
    """Table 4 in its formats, of a model and data of this name."""
    two = [
        record(method, model=model, variant=variant, test_error=0.1 * n, epochs=1)
        for n, method in enumerate(("original", "matched"), 1)
    ]
    formats.render("table4", two, folder)
    return {suffix: (folder / f"table4.{suffix}").read_text() for suffix in ("csv", "tex", "md")}


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_text_in_every_format(tmp_path, name):
    plain = rendered(tmp_path / "plain", "model", "variant")
    found = rendered(tmp_path / "found", name, name)
    # As many commands, columns, rows and formulas as with a harmless name
    commands = r"\\(?!textbackslash|textasciitilde|textasciicircum)[A-Za-z]+|(?<!\\)[$&#%_^~]"
    assert re.findall(commands, found["tex"]) == re.findall(commands, plain["tex"])
    assert len(found["tex"].splitlines()) == len(plain["tex"].splitlines())
    markup = r"(?<!\\)[|<>*\[\]$]|(?<!\\)`"
    shown, expected = (re.sub(r"`[\w .,:@+()/-]+`", "", text["md"]) for text in (found, plain))
    assert re.findall(markup, shown) == re.findall(markup, expected)
    assert len(found["md"].splitlines()) == len(plain["md"].splitlines())
    for text in pd.read_csv(io.StringIO(found["csv"]), dtype=str)[["model", "variant"]].to_numpy().flat:
        assert text.removeprefix("'").split() == name.split() and not re.match(r"\s*[=+\-@＝]", text)


def test_an_unknown_methods_head_is_text(tmp_path):
    methods = ("original", r"ga-\input{x}", "ga-0.01")
    formats.render("table4", [record(m, test_error=0.1, asr=0.5, epochs=1) for m in methods], tmp_path)
    assert r"\input" not in (tmp_path / "table4.tex").read_text()
    assert r"ga-\textbackslash{}input\{x\}" in (tmp_path / "table4.tex").read_text()


def test_a_caption_quotes_what_the_records_say():
    layouts = tables.layouts()["tables"]
    table, layout = next((name, layout) for name, layout in layouts.items() if "notes" in layout)
    key = next(iter(layout["notes"].values()))
    own = record("original", test_error=0.1)
    fields = {key: names[0] for key, names in layout.get("where", {}).items() if key != "row"}
    fields |= {"experiment": layout.get("experiment", "reconstruction"), "settings": {key: r"50%_\input{x}"}}
    own = own.model_copy(update=fields)
    assert r"50\%\_\textbackslash{}input\{x\}" in tables.caption(table, [own], escape.latex)


def test_numbers_stay_numbers():
    frame = pd.DataFrame({"name": ["=1", "x"], "value": [-1.5, 2.0], "count": [-3, 4], "none": [None, "-y"]})
    found = escape.cells(frame)
    assert list(found["name"]) == ["'=1", "x"] and list(found["none"])[1] == "'-y"
    assert found[["value", "count"]].equals(frame[["value", "count"]])


@pytest.mark.parametrize("text", ["mnist-5k@60+flip", "stand-in: digits-8x8@600", "svhn@2000+noise-0.01"])
def test_the_names_of_data_are_code(text):
    assert escape.code(text) == f"`{text}`" and escape.latex(text) == text


def test_the_report_escapes(tmp_path):
    hostile = '"><script>alert(1)</script>'
    own = record("original", model=hostile, variant=hostile, test_error=0.1, epochs=1)
    own.save(record_files.path(tmp_path / "records" / "reconstruction", own.method, own.seed, own.draw))
    report.write(tmp_path, tmp_path / "report.html", hostile)
    text = (tmp_path / "report.html").read_text()
    assert hostile not in text and html.escape(hostile).replace("&quot;", "&#34;") in text


RESULTS = Path(__file__).parents[3] / "results" / "paper"


@pytest.mark.parametrize("table", ["table4", "table9", "robust"])
def test_the_committed_tables_are_as_they_were(tmp_path, table):
    render.render(table, render.records_of(table, RESULTS, "reduced"), tmp_path)
    for suffix in ("csv", "tex", "md"):
        committed = RESULTS / "tables" / f"{table}.{suffix}"
        assert (tmp_path / committed.name).read_bytes() == committed.read_bytes()
