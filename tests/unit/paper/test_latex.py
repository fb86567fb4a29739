"""LaTeX tables in a real TeX: the size of their letters, nothing wider than the page, notes below."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.unit.paper.test_escape import NAMES
from tests.unit.paper.test_paper import RECORDS, record
from uae.errors import InputError
from uae.paper import escape, formats, parts
from uae.paper.layouts import layouts

TABLES = Path(__file__).parents[3] / "results" / "paper" / "tables"
TEX = shutil.which("pdflatex")
needs_tex = pytest.mark.skipif(TEX is None, reason="NO TEX: the LaTeX tables are not compiled")
DOCUMENT = r"""\pdfcompresslevel=0 \pdfobjcompresslevel=0
\documentclass[%s]{article}
\usepackage{booktabs,graphicx}
\pagestyle{empty}
\begin{document}
\input{%s}
\end{document}
"""


def compiled(source: Path, options: str, folder: Path) -> tuple[str, str]:
    """The content of the pages and the log."""
    (folder / "page.tex").write_text(DOCUMENT % (options, source.as_posix()))
    command = [TEX, "-interaction=nonstopmode", "-halt-on-error", "page.tex"]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, errors="replace")
    assert run.returncode == 0, run.stdout[-2000:]
    pdf = (folder / "page.pdf").read_bytes().decode("latin-1")
    pages = [text for text in re.findall(r"stream\r?\n(.*?)endstream", pdf, re.DOTALL) if "BT\n/F" in text]
    return "\n".join(pages), (folder / "page.log").read_text(errors="replace")


def smallest(content: str) -> float:
    """The size in points of the smallest word or number, by the page's operators (PDF 1.4, 4.3 and 5.3).

    Scripts, which are smaller in every text, have fewer letters than three.
    """
    scale, saved, size, found = 1.0, [], 0.0, set()
    number = r"-?[\d.]+"
    operators = rf"\(((?:\\.|[^\\)])*)\)|\b(q|Q)\b|((?:{number} ){{6}})cm|({number}) Tf"
    for text, state, matrix, font in re.findall(operators, content):
        if state == "q":
            saved.append(scale)
        elif state == "Q":
            scale = saved.pop()
        elif matrix:
            scale *= float(matrix.split()[3])
        elif font:
            size = float(font)
        elif len(re.sub(r"\\\d{3}", "?", text)) > 2:  # a sign is an octal number
            found.add(size * scale)
    return round(min(found), 2)


def test_a_long_table_is_continued_on_another_page():
    """LaTeX breaks no `table*`. The seeds' table has a row or more for each data set and autoencoder."""
    text = (TABLES / "seeds.tex").read_text()
    pages = text.split(r"\begin{table*}")[1:]
    assert len(pages) > 1
    assert "(continued)" not in pages[0] and all("(continued)" in page for page in pages[1:])
    labels = re.findall(r"\\label\{(.*?)\}", text)
    assert len(set(labels)) == len(pages)
    assert all(r"\ref{tab:seeds}" in page for page in pages[1:])
    blocks = re.findall(r"\\textbf\{([^}]*)\} \(data: \\texttt\{([^}]*)\}", text)
    assert len(blocks) == len(set(blocks)) > 5  # none twice


@needs_tex
@pytest.mark.parametrize(("options", "points"), [("twocolumn", 7.0), ("onecolumn", 6.0)])
@pytest.mark.parametrize("table", sorted(path.stem for path in TABLES.glob("*.tex")))
def test_a_committed_table_fits_a_page(tmp_path, table, options, points):
    content, log = compiled(TABLES / f"{table}.tex", options, tmp_path)
    assert smallest(content) >= points
    assert not re.findall(r"Overfull|too large|Missing character|LaTeX Error", log)


def everything(table: str) -> list:
    """Two seeds of all that a layout can show, with numbers as long as ours are."""
    layout = layouts()["tables"][table]
    where = layout.get("where", {})
    methods = where.get("method") or {m for c in layout["columns"] for m in c.get("methods", ["original"])}
    datasets, models = where.get("dataset", ["mnist", "svhn"]), where.get("model", ["sparse", "adversarial"])
    rows = where.get("row", [])[:2] or [f"{dataset}/{model}" for dataset in datasets for model in models]
    found = []
    for row in rows:
        dataset, model = row.split("/")
        for method in {*methods, "matched"} if layout.get("differences") else methods:
            for seed in (0, 1):
                values = {c["metric"]: (0.98765, 0.01234 + 0.005 * seed)[c["format"] == "error"] - 0.1 * seed
                          for c in layout["columns"]} | {"asr": 0.9 + 0.05 * seed}  # fmt: skip
                values |= {name: 0.06083 - 0.0123 * seed for name in values if "error" in name}
                one = record(
                    method, seed=seed, model=model, variant="mice-protein-as-published-csv", **values
                )
                experiment = layout.get("experiment", "reconstruction")
                found.append(one.model_copy(update={"dataset": dataset, "experiment": experiment}))
    return found


@needs_tex
@pytest.mark.parametrize("table", layouts()["tables"])
def test_all_that_a_layout_can_show_fits_a_page(tmp_path, table):
    """Also the tables, rows and methods that no committed record is of."""
    formats.render(table, everything(table), tmp_path)
    for options, points in (("twocolumn", 7.0), ("onecolumn", 6.0)):
        content, log = compiled(tmp_path / f"{table}.tex", options, tmp_path)
        assert smallest(content) >= points and not re.findall(r"Overfull|too large", log), options


@needs_tex
def test_what_is_measured_is_the_size(tmp_path):
    """A line of 10 points, scaled to 0.37 of itself."""
    (tmp_path / "small.tex").write_text(r"\scalebox{0.37}{Some letters of a table}")
    assert smallest(compiled(tmp_path / "small.tex", "10pt", tmp_path)[0]) == pytest.approx(3.7, abs=0.02)


@needs_tex
def test_a_wide_table_shrinks_to_the_page(tmp_path):
    """A user's own levels of noise: as many columns as one likes."""
    many = [record(f"ga-0.{n:03}", draw=0, test_error=0.002, asr=0.1) for n in range(1, 30)]
    formats.render("table4", [*RECORDS, *many], tmp_path)
    assert "Overfull" not in compiled(tmp_path / "table4.tex", "twocolumn", tmp_path)[1]


@needs_tex
def test_names_of_others_compile(tmp_path):
    """As models, as data and as methods."""
    loaded = [record("original", model=name, variant=name, test_error=0.1) for name in [*NAMES, "ж", "数"]]
    loaded += [record(f"ga-{name}", model="m", test_error=0.1) for name in NAMES[:9]]
    formats.render("table4", loaded, tmp_path)
    assert "Overfull" not in compiled(tmp_path / "table4.tex", "twocolumn", tmp_path)[1]


def test_errors_and_success_rates_are_two_tables(tmp_path):
    formats.render("table4", RECORDS, tmp_path)
    first, second = (tmp_path / "table4.tex").read_text().split(r"\end{table*}")[:2]
    assert r"\label{tab:table4}" in first and "Reconstruction error" in first and "ASR (training" not in first
    assert r"\label{tab:table4-asr}" in second and "ASR" in second and r"\uparrow" not in second
    caption, below = (re.search(p, first, re.DOTALL)[1] for p in (r"caption\{(.*?)\}\n", r"minipage}(.*)"))
    assert "mean squared error" not in caption and "mean squared error per feature" in below
    # In units of the head: 0.005 ± 0.0014, the original of both seeds
    assert r"5.00$\pm$1.41" in first and r"50.00$\pm$35.36" in second and "e-0" not in first


@pytest.mark.parametrize("path", sorted(TABLES.glob("*.tex")), ids=lambda path: path.stem)
def test_no_markdown_is_left(path):
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"`|\*\*|&\w+;|\d[eE][+-]\d", text)
    assert not re.search(r"\d%|[±↑↓–−εσ²₂]", re.sub(r"(?m)^%.*$", "", text))


@pytest.mark.parametrize(
    ("table", "heads"),
    [("table4", ["original", "mine-uae", "ga-0.01", "mine-uae", "ga-0.01"]), ("table3", ["asr", "mi_mean"])],
)
def test_compact_has_the_papers_own_columns(tmp_path, table, heads):
    if table == "table4":
        loaded = [*RECORDS, record("mine-uae-released", test_error=0.002, asr=0.5)]
    else:
        change = {"experiment": "supervised", "model": "classifier"}
        values = {"asr": 1.0, "mi_mean": 3.0, "l2_mean": 1.0, "n_attacked": 5}
        methods = ("minmax", "penalty", "penalty-vanilla")
        loaded = [record(method, **values).model_copy(update=change) for method in methods]
    divided = parts.divide(table, formats.tidy(table, loaded), compact=True)
    groups = [group for part in divided for group in part["groups"]]
    assert [method or group["metric"] for group in groups for method in group["methods"]] == heads
    formats.render(table, loaded, tmp_path / "all")
    formats.render(table, loaded, tmp_path / "compact", compact=True)
    whole, compact = ((tmp_path / kind / f"{table}.tex").read_text() for kind in ("all", "compact"))
    assert re.search(r"Matched|vanilla critic\)", whole) and not re.search(
        r"Matched|vanilla critic\)|released\)", compact
    )
    csv = f"{table}.csv"
    assert (tmp_path / "all" / csv).read_bytes() == (tmp_path / "compact" / csv).read_bytes()


def test_compact_needs_numbers_of_the_paper(tmp_path):
    with pytest.raises(InputError, match="seeds: the paper has none of its numbers"):
        formats.render("seeds", RECORDS, tmp_path, compact=True)


@pytest.mark.parametrize(
    ("value", "spec", "text"),
    [
        (0.00294, ".5f", "0.00294"), (-0.00294, "+.5f", "−0.00294"), (0.0, "+.5f", "0"),
        (3.1e-7, ".5f", "0.0000003"), (-4e-8, "+.2f", "−0.00000004"),
        (100.0, "#.3g", "100"), (0.0, ".2f", "0.00"), (-4.2e-5, ".2g", "−0.000042"), (2e6, ".2g", "2e+06"),
    ],
)  # fmt: skip
def test_a_number_never_reads_as_a_zero_that_it_is_not(value, spec, text):
    assert parts.written(value, spec) == text


def test_the_units_of_short_numbers():
    kinds = layouts()["formats"]
    assert parts.short(0.00294, "error") == "2.94" and parts.short(3.4e-5, "error", "spread") == "0.03"
    assert parts.short(0.5, "percent") == "50.00" and kinds["error"]["power"] == -3


def test_our_texts_in_latex():
    text = "σ = 10⁻³, ‖δ‖₂ 50 % of `a_b.yaml` and $x_2$"
    expected = r"$\sigma$ = 10$^{-3}$, $\|\delta\|_{2}$ 50 \% of \texttt{a\_b.yaml} and $x_2$"
    assert escape.tex(text) == expected
