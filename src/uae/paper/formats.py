"""A table as a tidy CSV, as LaTeX in the paper's layout and as Markdown."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd

from uae import storage
from uae.paper import escape
from uae.paper.layouts import layouts
from uae.paper.names import name_of, plain
from uae.paper.tables import NONE, body, caption, columns, label, tidy
from uae.records import Record


def _name(key: str, math: bool) -> str:
    """A name of tables.yaml as it stands there; a key of others is escaped."""
    if key in layouts()["names"]:
        return name_of(key, math)
    return escape.latex(key) if math else escape.markdown(key)


def _block_title(block: dict[str, Any], math: bool) -> str:
    return ", ".join(_name(name, math) for name in block["names"])


def _heads(group: dict[str, Any], math: bool) -> list[str]:
    """The heads of a group's columns: the layout's own, or the names of its methods."""
    return [
        _name(method, math) if head == method else _tex_escape(head) if math else plain(head)
        for method, head in zip(group["methods"], group["heads"], strict=True)
    ]


def _markdown(table: str, cells: pd.DataFrame, caption: str) -> str:
    layout, groups = layouts()["tables"][table], columns(table, cells)
    titles = [
        "" if layout["rows"] == "method" else f"{plain(group['title'])}: "
        for group in groups
        for _ in group["heads"]
    ]
    heads = [head for group in groups for head in _heads(group, math=False)]
    heads = [title + head for title, head in zip(titles, heads, strict=True)]
    lines = [f"**{label(table)}.** {layout['title']}.", ""]
    for block in body(table, cells):
        if block["names"]:
            lines += [f"{_block_title(block, math=False)} (data: {escape.code(block['variant'])})", ""]
        lines += [f"| {layout['head']} | | " + " | ".join(heads) + " |", "|---|---|" + "---|" * len(heads)]
        for row in block["rows"]:
            ours = [
                NONE if c is None else _bold(" ".join(filter(None, _ours(c))), c["best"])
                for c in row["cells"]
            ]
            paper = [NONE if c is None else c["paper"] for c in row["cells"]]
            variant = f" (data: {escape.code(row['variant'])})" if row["variant"] else ""
            lines.append(f"| {_name(row['name'], math=False)}{variant} | ours | " + " | ".join(ours) + " |")
            if row["in_paper"]:
                lines.append("| | paper | " + " | ".join(paper) + " |")
        lines.append("")
    return "\n".join([*lines, caption, ""])


def _ours(cell: dict[str, Any]) -> tuple[str, str, str]:
    return cell["ours"], cell["spread"], f"({cell['change']})" if cell["change"] else ""


def _bold(text: str, best: bool) -> str:
    return f"**{text}**" if best else text


def _tex_escape(text: str) -> str:
    text = re.sub(r"(?<!\\)%", r"\\%", text)
    for old, new in (
        ("±", r"$\pm$"),
        ("↑", r"$\uparrow$"),
        ("↓", r"$\downarrow$"),
        ("–", "--"),
        ("‖δ‖₂", r"$\|\delta\|_2$"),
        ("₂", "$_2$"),
        ("ε", r"$\epsilon$"),
        ("×", r"$\times$"),
        ("σ", r"$\sigma$"),
        ("²", r"$^2$"),
    ):
        text = text.replace(old, new)
    return text


def _latex(table: str, cells: pd.DataFrame, caption: str) -> str:
    """A booktabs table* to be \\input; needs the packages booktabs and graphicx."""
    layout, groups = layouts()["tables"][table], columns(table, cells)
    width = sum(len(group["methods"]) for group in groups)
    heads = " & ".join(head for group in groups for head in _heads(group, math=True))
    head_lines = [rf"{layout['head']} & & {heads} \\"]
    if layout["rows"] != "method":
        top = " & ".join(
            rf"\multicolumn{{{len(g['methods'])}}}{{c}}{{{_tex_escape(g['title'])}}}" for g in groups
        )
        rules, first = [], 3
        for group in groups:
            rules.append(rf"\cmidrule(lr){{{first}-{first + len(group['methods']) - 1}}}")
            first += len(group["methods"])
        head_lines = [rf" & & {top} \\", " ".join(rules), *head_lines]
    lines = [
        "% Needs \\usepackage{booktabs,graphicx}.",
        r"\begin{table*}[t]",
        r"\centering",
        rf"\caption{{{layout['title']}. {_tex_escape(caption)}}}",
        rf"\label{{tab:{table}}}",
        r"\resizebox{\textwidth}{!}{%",
        rf"\begin{{tabular}}{{ll{'c' * width}}}",
        r"\toprule",
        *head_lines,
    ]
    for block in body(table, cells):
        lines.append(r"\midrule")
        if block["names"]:
            title = rf"{_block_title(block, math=True)} (data: \texttt{{{escape.latex(block['variant'])}}})"
            lines.append(rf"\multicolumn{{{width + 2}}}{{l}}{{\textbf{{{title}}}}} \\")
        for row in block["rows"]:
            lines += _latex_row(row)
    lines += [r"\bottomrule", r"\end{tabular}}", r"\end{table*}", ""]
    return "\n".join(lines)


def _latex_row(row: dict[str, Any]) -> list[str]:
    ours, spreads, paper = [], [], []
    for cell in row["cells"]:
        cell = cell or {"ours": NONE, "spread": "", "change": "", "paper": NONE, "best": False}
        number = _tex_escape(cell["ours"])
        ours.append(rf"\textbf{{{number}}}" if cell["best"] else number)
        spreads.append(_tex_escape(" ".join(filter(None, _ours(cell)[1:]))))
        paper.append(_tex_escape(cell["paper"]))
    variant = rf" (\texttt{{{escape.latex(row['variant'])}}})" if row["variant"] else ""
    lines = [rf"{_name(row['name'], math=True)}{variant} & ours & {' & '.join(ours)} \\"]
    if any(spreads):
        small = [rf"{{\footnotesize {text}}}" if text else "" for text in spreads]
        lines.append(rf" & & {' & '.join(small)} \\")
    if row["in_paper"]:
        emphasised = [rf"\emph{{{text}}}" for text in paper]
        lines.append(rf" & \emph{{paper}} & {' & '.join(emphasised)} \\[2pt]")
    return lines


def render(table: str, records: list[Record], folder: Path) -> None:
    """Write <table>.csv, .tex and .md to the folder."""
    cells = tidy(table, records)
    written = escape.cells(cells.drop(columns=["seeds", "base", "unperturbed"], errors="ignore"))
    storage.write_text(folder / f"{table}.csv", written.to_csv(index=False, float_format="%.8g"))
    storage.write_text(folder / f"{table}.tex", _latex(table, cells, caption(table, records, escape.latex)))
    storage.write_text(
        folder / f"{table}.md", _markdown(table, cells, caption(table, records, escape.markdown))
    )
