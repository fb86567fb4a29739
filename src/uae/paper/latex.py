r"""A table in LaTeX, to be \input: a `table*` of booktabs for each part, its notes below it.

Numbers have the size of footnotes. They shrink only if the table would be wider than the page; with the
columns of the layouts it is not (tests/unit/paper/test_latex.py measures it). To keep cells narrow, a unit or
a power of ten is written once, in the head, and long heads and names are wrapped.
"""

from __future__ import annotations

import math
import re
from typing import Any

from uae.paper import escape
from uae.paper.layouts import layouts
from uae.paper.names import in_sentence, name_of, plain
from uae.paper.parts import NONE, Part, short, titles
from uae.paper.perturbation import NO_PERTURBATION

HEAD = 11  # letters that fit into a line of a head
ROW, WIDE, MANY = 26, 36, 6  # and into a row's name, beside many or few columns
LINES = 54  # of a table on a page
MOST = 8  # with more columns there is no room for a spread beside the number
FLAT = r"$^\circ$"  # marks a number of a model whose UAEs equal their originals
TOKEN = re.compile(r"(?:\$[^$]*\$|[^\s$])+(?: = \S+)?")  # a word with its value; a formula is one word

BEGIN = r"""\begin{table*}[t]
\centering
\caption{%s}
\label{tab:%s}
\footnotesize
\setlength{\tabcolsep}{2pt}
\renewcommand{\arraystretch}{0.9}
\resizebox{\ifdim\width>\textwidth\textwidth\else\width\fi}{!}{%%
\begin{tabular}{l%s}
\toprule"""
END = r"""\bottomrule
\end{tabular}}
\par\smallskip
\begin{minipage}{\textwidth}
\footnotesize
%s
\end{minipage}
\end{table*}
"""


def text(table: str, divided: list[Part], caption: str) -> str:
    """The LaTeX of a table's parts (see `parts.divide`). caption: its notes, in LaTeX."""
    lines = ["% Needs \\usepackage{booktabs,graphicx}."]
    for number, part in enumerate(divided):
        for page, blocks in enumerate(_pages(table, part)):
            lines += _part(table, part | {"blocks": blocks}, number, page, caption)
    return "\n".join(lines)


def _pages(table: str, part: Part) -> list[list[Any]]:
    """The blocks of a part, divided into pages of about as many lines, because LaTeX breaks no `table*`."""
    kinds = [group["format"] for group in part["groups"] for _ in group["methods"]]
    by_method = layouts()["tables"][table]["rows"] == "method"
    sizes = [2 + sum(len(_row(row, kinds, by_method)) for row in block["rows"]) for block in part["blocks"]]
    most = sum(sizes) / math.ceil(sum(sizes) / LINES)
    pages: list[list[Any]] = [[]]
    before = 0
    for block, size in zip(part["blocks"], sizes, strict=True):
        if pages[-1] and before + size / 2 > most * len(pages):
            pages.append([])
        pages[-1].append(block)
        before += size
    return pages


def _part(table: str, part: Part, number: int, page: int, caption: str) -> list[str]:
    layout, groups = layouts()["tables"][table], part["groups"]
    title = escape.tex(
        ": ".join(filter(None, (layout["title"], ", ".join(map(in_sentence, part["titles"])))))
    )
    title += " (continued)" * (page > 0)
    name = table if not number else f"{table}-{groups[0]['metric']}"
    name += f"-{page + 1}" * (page > 0)
    kinds = [group["format"] for group in groups for _ in group["methods"]]
    lines = [BEGIN % (title + ".", name, "c" * len(kinds)), *_heads(layout, part)]
    for block in part["blocks"]:
        lines.append(r"\midrule")
        if block["names"]:
            names = ", ".join(map(_name, block["names"]))
            data = rf"\texttt{{{escape.latex(block['variant'])}}}"
            lines.append(rf"\multicolumn{{{1 + len(kinds)}}}{{l}}{{\textbf{{{names}}} (data: {data})}} \\")
        for row in block["rows"]:
            lines += _row(row, kinds, layout["rows"] == "method")
    return [*lines, END % _notes(table, part, number + page, caption, kinds)]


def _name(key: str) -> str:
    """The name in tables.yaml; a foreign key is escaped."""
    return name_of(key) if key in layouts()["names"] else escape.latex(key)


def _stacked(text: str, room: int, align: str = "c") -> str:
    """Wrap the text into lines of `room` letters, between words."""
    lines: list[str] = []
    for word in TOKEN.findall(text):
        if lines and len(plain(f"{lines[-1]} {word}")) <= room:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    stack = r"\\".join(lines)
    return rf"\shortstack[{align}]{{{stack}}}" if len(lines) > 1 else text


def _heads(layout: dict[str, Any], part: Part) -> list[str]:
    """The columns' heads, below those of their groups if methods are columns."""
    first = _stacked(escape.tex(layout["head"]), HEAD, "l")
    if layout["rows"] == "method":
        heads = [_stacked(_title(title, kind), HEAD) for title, kind, _ in titles(part)]
        return [rf"{first} & {' & '.join(heads)} \\"]
    top, rules, column = [], [], 2
    for title, kind, count in titles(part):
        # A title over few columns must not widen them
        title = _stacked(_title(title, kind), (HEAD + 1) * count)
        top.append(rf"\multicolumn{{{count}}}{{c}}{{{title}}}")
        rules.append(rf"\cmidrule(lr){{{column}-{column + count - 1}}}")
        column += count
    heads = [
        _name(method) if head == method else _stacked(escape.tex(head), HEAD)
        for group in part["groups"]
        for method, head in zip(group["methods"], group["heads"], strict=True)
    ]
    return [rf" & {' & '.join(top)} \\", " ".join(rules), rf"{first} & {' & '.join(heads)} \\"]


def _title(title: str, kind: str) -> str:
    return f"{escape.tex(title)} {_unit(kind)}".strip()


def _unit(kind: str) -> str:
    """The unit or power of ten of a column, as shown in its head."""
    form = layouts()["formats"][kind]
    if "power" in form:
        return rf"($\times10^{{{form['power']}}}$)"
    return escape.tex(f"({form['unit']})") if "unit" in form else ""


def _row(row: dict[str, Any], kinds: list[str], by_method: bool) -> list[str]:
    """The lines of a row: ours with its spread, below it the change, then the paper's.

    If methods are rows, the change is beside the number. In a table of many columns the spread is below.
    """
    ours, seen, below, paper = [], [], [], []
    stacked = len(kinds) > MOST
    for cell, kind in zip(row["cells"], kinds, strict=True):
        if cell is None or cell["nothing"]:
            ours.append("--" if cell is None else r"$\circ$")
            seen.append("")
            below.append("")
        else:
            flat = cell["change"] == NO_PERTURBATION
            number, spread = _number(cell, kind)
            change = "" if flat else escape.tex(cell["change"].replace(" ", ""))
            text = number if stacked else number + spread
            text = (rf"\textbf{{{text}}}" if cell["best"] else text) + (FLAT if flat else "")
            ours.append(f"{text} {change}".strip() if by_method else text)
            sees = cell["numbers"]["sees"]
            seen.append(f"sees {short(sees, kind, 'spread')}" if sees and sees == sees else "")  # not NaN
            second = [spread if stacked else "", "" if by_method else change, escape.tex(cell["paired"])]
            below.append(" ".join(filter(None, second)))
        printed = cell and cell["paper"] != NONE
        paper.append("".join(_number(cell, kind, "paper_")) if printed else "--")
    name = _name(row["name"])
    if row["name"] in layouts()["names"]:
        name = _stacked(name, ROW if len(kinds) > MANY else WIDE, "l")
    data = rf"\texttt{{{escape.latex(row['variant'])}}}" if row["variant"] else ""
    lines = [r"\addlinespace[2pt]"] if name.startswith(r"\shortstack") else []
    lines.append(rf"{name} & {' & '.join(ours)} \\")
    if any(seen):
        lines.append(rf" & {' & '.join(seen)} \\")
    if any(below) or data:
        lines.append(rf"{data} & {' & '.join(below)} \\")
    if row["in_paper"]:
        emphasised = [rf"\emph{{{text}}}" for text in paper]
        lines.append(rf"\quad\emph{{paper}} & {' & '.join(emphasised)} \\[2pt]")
    return lines


def _number(cell: dict[str, Any], kind: str, whose: str = "") -> tuple[str, str]:
    """The number and its spread, without the unit and the power of ten in the head."""
    numbers, spread = cell["numbers"], ""
    std = numbers[f"{whose}std"]
    if std == std and "spread" in layouts()["formats"][kind]:  # not NaN
        spread = rf"$\pm${escape.tex(short(std, kind, 'spread'))}"
    return escape.tex(short(numbers[f"{whose}value"], kind)), spread


def _notes(table: str, part: Part, number: int, caption: str, kinds: list[str]) -> str:
    """The notes below the table: how to read the numbers, then the caption's text, once for all parts."""
    cells = [cell for block in part["blocks"] for row in block["rows"] for cell in row["cells"] if cell]
    notes = []
    if any(row["in_paper"] for block in part["blocks"] for row in block["rows"]):
        notes.append("In italics: the paper's numbers.")
    powers = {layouts()["formats"][kind].get("power") for kind in kinds} - {None}
    notes += [rf"$\times10^{{{power}}}$: 2.94 means {2.94 * 10**power:g}." for power in sorted(powers)]
    if any(cell["change"] == NO_PERTURBATION or cell["nothing"] for cell in cells):
        notes.append(r"$\circ$: no perturbation.")
    notes.append(rf"Notes: see Table~\ref{{tab:{table}}}." if number else caption)
    return " ".join(notes)
