"""Write a table as tidy CSV, as Markdown and, with `latex.py`, as LaTeX."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from uae import storage
from uae.errors import InputError
from uae.paper import escape, latex
from uae.paper.layouts import layouts
from uae.paper.names import name_of, plain
from uae.paper.parts import NONE, Part, divide, titles
from uae.paper.tables import caption, label, tidy
from uae.records import Record


def render(table: str, records: list[Record], folder: Path, compact: bool = False) -> None:
    """Write <table>.csv, .tex and .md to the folder.

    compact: write LaTeX and Markdown with only the paper's columns or, if methods are rows, its rows.
    Raises `InputError` if the paper has no number of the table.
    """
    cells = tidy(table, records)
    if compact and not cells["paper_value"].notna().any():
        raise InputError(f"{table}: the paper has none of its numbers; leave out --compact")
    divided = divide(table, cells, compact)
    notes = {
        "tex": caption(table, records, escape.latex, escape.tex),
        "md": caption(table, records, escape.markdown),
    }
    written = escape.cells(cells.drop(columns=["seeds", "base", "unperturbed"], errors="ignore"))
    storage.write_text(folder / f"{table}.csv", written.to_csv(index=False, float_format="%.8g"))
    storage.write_text(folder / f"{table}.tex", latex.text(table, divided, notes["tex"]))
    storage.write_text(folder / f"{table}.md", _markdown(table, divided, notes["md"]))


def _markdown(table: str, divided: list[Part], caption: str) -> str:
    layout = layouts()["tables"][table]
    lines = [f"**{label(table)}.** {layout['title']}.", ""]
    for part in divided:
        heads = _heads(part)
        about = plain(part["groups"][0]["title"]) if _alone(part) else ""
        for block in part["blocks"]:
            names = ", ".join(map(_name, block["names"]))
            data = f"{names} (data: {escape.code(block['variant'])})" if names else ""
            title = ": ".join(filter(None, (data, about)))
            lines += [title, ""] if title else []
            lines += [
                f"| {layout['head']} | | " + " | ".join(heads) + " |",
                "|---|---|" + "---|" * len(heads),
            ]
            lines += [line for row in block["rows"] for line in _row(row)]
            lines.append("")
    return "\n".join([*lines, caption, ""])


def _name(key: str) -> str:
    """The name in tables.yaml; a foreign key is escaped."""
    return name_of(key, math=False) if key in layouts()["names"] else escape.markdown(key)


def _heads(part: Part) -> list[str]:
    """The heads of a part's columns, after the titles of their groups if there are several groups."""
    heads = []
    for group in part["groups"]:
        titled = not _alone(part) and None not in group["methods"]
        for method, head in zip(group["methods"], group["heads"], strict=True):
            text = _name(method) if head == method else plain(head)
            heads.append(f"{plain(group['title'])}: {text}" if titled else text)
    return heads


def _alone(part: Part) -> bool:
    """Whether all columns share one title."""
    return len(titles(part)) == 1 and None not in part["groups"][0]["methods"]


def _row(row: dict[str, Any]) -> list[str]:
    ours, paper = [], []
    for cell in row["cells"]:
        change = f"({cell['change']})" if cell and cell["change"] else ""
        text = " ".join(filter(None, (cell["ours"], cell["spread"], change))) if cell else NONE
        ours.append(f"**{text}**" if cell and cell["best"] else text)
        paper.append(cell["paper"] if cell else NONE)
    variant = f" (data: {escape.code(row['variant'])})" if row["variant"] else ""
    lines = [f"| {_name(row['name'])}{variant} | ours | " + " | ".join(ours) + " |"]
    return [*lines, "| | paper | " + " | ".join(paper) + " |"] if row["in_paper"] else lines
