"""The parts of a table, each with its columns, its rows and the texts of its cells.

A layout can set a group of columns `apart`: it begins a new part. So the errors are in one part and the
success rates in the next. `formats.py`, `latex.py` and the report write these parts.
"""

from __future__ import annotations

import itertools
import math
from decimal import Decimal
from typing import Any

import pandas as pd

from uae.paper.layouts import layouts
from uae.paper.names import data_of, name_of, plain
from uae.paper.perturbation import NO_PERTURBATION
from uae.paper.tables import KEYS

NONE = "–"  # the text of a cell that was not measured, or is not in the paper

Group = dict[str, Any]  # columns of one metric
Block = dict[str, Any]  # rows of one data set
Part = dict[str, Any]


def divide(table: str, cells: pd.DataFrame, compact: bool = False) -> list[Part]:
    """The table's parts: `titles` (empty if there is one part), `groups`, `heads` and `blocks`.

    compact: only the columns that the paper has or, if methods are rows, only its rows.
    """
    by_part = itertools.groupby(columns(table, cells, compact), key=lambda group: group["part"])
    divided = [list(groups) for _, groups in by_part]
    found = [
        {
            "titles": list(dict.fromkeys(group["title"] for group in groups)) if len(divided) > 1 else [],
            "groups": groups,
            "heads": [head for group in groups for head in group["heads"]],
            "blocks": body(table, cells, groups, compact),
        }
        for groups in divided
    ]
    return [part for part in found if part["blocks"]]


def columns(table: str, cells: pd.DataFrame, compact: bool = False) -> list[Group]:
    """The groups of columns that have a number, each with its `part`, its `methods` and their `heads`.

    If methods are columns, a group has those of the layout, then further levels of noise. If methods are
    rows, it has only the metric.
    """
    layout = layouts()["tables"][table]
    by_method = layout["rows"] != "method"
    if compact:
        cells = cells[cells["paper_value"].notna() & ~cells["method"].str.endswith("-released")]
    groups, part = [], 0
    for column in layout["columns"]:
        part += column.get("apart", False)
        measured = list(cells.loc[cells["metric"] == column["metric"], "method"].unique())
        if not measured or (compact and "reference" in column):
            continue
        if not by_method:
            groups.append(column | {"part": part, "methods": [None], "heads": [column["title"]]})
            continue
        heads = dict(zip(column["methods"], column.get("heads", ()), strict=bool(column.get("heads"))))
        more = [m for m in measured if m.startswith("ga-")] if "ga-0.01" in column["methods"] else []
        methods = [m for m in dict.fromkeys([*column["methods"], *more]) if m in measured]
        named = [heads.get(method) or name_of(method, math=True) for method in methods]
        groups += [column | {"part": part, "methods": methods, "heads": named}] if methods else []
    return groups


def body(
    table: str, cells: pd.DataFrame, groups: list[Group] | None = None, compact: bool = False
) -> list[Block]:
    """Blocks with rows of one cell per column. Rows without a number are left out.

    A block is one combination of the layout's `blocks` keys (a data set includes its variant). A row is one
    value of its `rows` key. `in_paper`: whether the paper has a number in the row.
    """
    layout = layouts()["tables"][table]
    groups = columns(table, cells) if groups is None else groups
    block_keys = ["dataset", "variant", *layout["blocks"]] if layout["blocks"] else []
    block_keys = list(dict.fromkeys(block_keys))
    row_keys = [layout["rows"]] if block_keys else [layout["rows"], "variant"]
    shown = {method for group in groups for method in group["methods"]}  # None: every method has a row
    best = _best(cells if None in shown else cells[cells["method"].isin(shown)], layout)
    blocks = []
    for key, block in list(cells.groupby(block_keys, sort=False)) if block_keys else [((), cells)]:
        named = dict(zip(block_keys, key, strict=True))
        rows = []
        for row_key, part in _ordered(block, row_keys, layout):
            line = []
            for group in groups:
                here = part[part["metric"] == group["metric"]]
                for method in group["methods"]:
                    found = here if method is None else here[here["method"] == method]
                    line.append(_shown(found, group["format"], best))
            variant = None if block_keys else data_of(row_key[1])
            in_paper = any(cell and cell["paper"] != NONE for cell in line)
            foreign = compact and (not in_paper or str(row_key[0]).endswith("-released"))
            if any(line) and not foreign:
                rows.append({"name": row_key[0], "variant": variant, "cells": line, "in_paper": in_paper})
        names = [named[k] for k in layout["blocks"]]
        variant = data_of(named["variant"]) if block_keys else None
        blocks += [{"names": names, "variant": variant, "rows": rows}] if rows else []
    return blocks


def _ordered(
    block: pd.DataFrame, row_keys: list[str], layout: dict[str, Any]
) -> list[tuple[tuple[str, ...], pd.DataFrame]]:
    """The block's rows, in the order of the layout if it lists them, else in that of the cells."""
    rows = list(block.groupby(row_keys, sort=False))
    listed = layout.get("where", {}).get(layout["rows"], [])
    return sorted(rows, key=lambda row: listed.index(row[0][0]) if row[0][0] in listed else len(listed))


def _shown(
    found: pd.DataFrame, kind: str, best: dict[tuple[str, ...], tuple[str, int]]
) -> dict[str, Any] | None:
    if found.empty:
        return None
    row = found.iloc[0]
    cell = _cell(row, kind)
    text, seeds = best.get(tuple(row[k] for k in ("dataset", "variant", "model", "metric")), (None, 0))
    cell["best"] = cell["ours"] == text and row["n_seeds"] == seeds and not row["unperturbed"]
    return cell


def _best(cells: pd.DataFrame, layout: dict[str, Any]) -> dict[tuple[str, ...], tuple[str, int]]:
    """The best text, and its number of seeds, by (dataset, variant, model, metric).

    Only the methods with the most seeds are compared, because the others rest on fewer trainings.
    """
    out = {}
    kinds = {column["metric"]: column["format"] for column in layout["columns"]}
    for key, part in cells.groupby(["dataset", "variant", "model", "metric"]):
        rule = layouts()["formats"][kinds[key[-1]]].get("best")
        seeds = part["n_seeds"].max()
        part = part[(part["n_seeds"] == seeds) & ~part["unperturbed"]]
        if rule and len(part) > 1:
            value = part["value"].min() if rule == "low" else part["value"].max()
            out[key] = _number(value, kinds[key[-1]]), seeds  # equal in the shown digits
    return out


def _cell(row: pd.Series, kind: str) -> dict[str, Any]:
    """A cell's numbers and texts: ours, its spread and change, the paper's, and ours relative to it."""
    form = layouts()["formats"][kind]
    value, base, theirs = row["value"], row.get("base"), row["paper_value"]
    change, spread, paper, against, paired = "", "", NONE, "", ""
    if form.get("change") and base > 0 and row["method"] != "original":
        change = _change(100 * (1 - value / base))
    if pd.notna(row["std"]) and "spread" in form:
        spread = f"± {_number(row['std'], kind, 'spread')}"
    if pd.notna(row.get("p")):
        paired = f"p = {row['p']:.2g}, n = {row['n_seeds']}"
    if pd.notna(row.get("sees")):
        sees = f"sees {_number(row['sees'], kind, 'spread')}"
        spread = f"{spread}, {sees}" if spread else f"({sees})"
    if row["unperturbed"] and form.get("best"):
        change = NO_PERTURBATION
    if pd.notna(theirs):
        paper = _number(theirs, kind)
        if pd.notna(row["paper_std"]):
            paper += f" ± {_number(row['paper_std'], kind, 'spread')}"
        if "unit" in form:
            against = f"{signed(form.get('scale', 1) * (value - theirs), 1)} points"
        elif theirs:
            against = f"{signed(100 * (value / theirs - 1), 0)}%"
    nothing = row["unperturbed"] and "p" in row  # the difference of two runs of one training
    return {
        "numbers": {name: row.get(name) for name in ("value", "std", "sees", "paper_value", "paper_std")},
        "nothing": nothing,
        "ours": NO_PERTURBATION if nothing else _number(value, kind),
        "spread": "" if nothing else ", ".join(filter(None, (spread, paired))),
        "paired": "" if nothing else paired,
        "change": change,
        "paper": paper,
        "against": against,
        "best": False,
        "key": tuple(row[k] for k in KEYS[:4]),
    }


def _change(gain: float) -> str:
    """The fall of an error in per cent; without an arrow if it rounds to zero."""
    shown = f"{abs(gain):.1f}%"
    return shown if shown == "0.0%" else f"{'↑' if gain > 0 else '↓'} {shown}"


def signed(value: float, digits: int) -> str:
    """A difference with its sign; `0` if it rounds to zero."""
    shown = f"{value:+.{digits}f}"
    return shown.replace("-", "−") if float(shown) else "0"


def _number(value: float, kind: str, what: str = "number") -> str:
    form = layouts()["formats"][kind]
    if "no" in form:  # the share of runs with the flag set
        return form["no"] if not value else form["yes"] + (f" in {value:.0%}" if value < 1 else "")
    return written(value * form.get("scale", 1), form[what]) + form.get("unit", "")


def short(value: float, kind: str, what: str = "number") -> str:
    """The number for a column whose head shows the unit or the power of ten."""
    form = layouts()["formats"][kind]
    if "no" in form:
        return _number(value, kind)
    power, spec = form.get("power", 0), form[what]
    if power:
        digits = int(spec[spec.index(".") + 1 : -1]) + power
        spec = f"{spec[: spec.index('.')]}.{digits}f"
    return written(value * form.get("scale", 1) / 10**power, spec)


def written(value: float, spec: str) -> str:
    """The number in a Python format, a small one without exponent; its first digit if it would read as 0."""
    shown = format(value, spec).rstrip(".")  # "#" leaves "100."
    if "e-" in shown:
        shown = format(Decimal(shown), "f")
    if spec.endswith("f") and value and not float(shown):
        shown = format(value, f"{spec[: spec.index('.')]}.{-math.floor(math.log10(abs(value)))}f")
    if not value and spec.startswith("+"):
        return "0"
    return shown.replace("-", "−")


def titles(part: Part) -> list[tuple[str, str, int]]:
    """The titles above the heads: title, format and number of columns. Groups with one title share it."""
    alike = itertools.groupby(part["groups"], key=lambda group: (group["title"], group["format"]))
    return [(*title, sum(len(group["methods"]) for group in groups)) for title, groups in alike]


def plain_heads(part: Part) -> list[str]:
    """The heads of a part's columns without TeX."""
    return [plain(head) for head in part["heads"]]
