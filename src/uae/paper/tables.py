"""Tables: what they show, ours beside the paper's in every cell. `formats.py` writes them.

`tables.yaml` has their layouts.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from uae.data import catalogue
from uae.intervals import half_width
from uae.paper.layouts import layouts, wanted
from uae.paper.names import complete, data_of, name_of, plain
from uae.paper.perturbation import NO_PERTURBATION, OF_THE_ATTACK, unperturbed
from uae.records import Record, settings_differ

HERE = Path(__file__).parent
KEYS = ["dataset", "variant", "model", "method", "metric"]
COLUMNS = [*KEYS, "value", "std", "n_seeds", "paper_value", "paper_std"]
NONE = "–"  # the text of a cell that was not measured, or is not in the paper


def tidy(table: str, records: list[Record]) -> pd.DataFrame:
    """One row a cell: mean and standard deviation over the runs, beside the paper's number.

    A run is a seed, and for Gaussian augmentation a draw of the noise; `n_seeds` counts the seeds
    alone, and `std` is empty for a single run. The rows follow the paper's order. In a table of
    `differences` the cells are paired differences to the matched control, `p` is that of a t-test, and `sees`
    the smallest difference that the seeds could have seen: half of the 95 % interval.
    For what is shown and not written: `unperturbed` (see `uae.paper.perturbation`), and but for
    `differences` `seeds` and `base`, the original's mean over these seeds.
    """
    layout = layouts()["tables"][table]
    metrics = list(dict.fromkeys(column["metric"] for column in layout["columns"]))
    measured = pd.DataFrame(
        [
            (r.dataset, r.variant, r.model, r.method, metric, value, r.seed)
            for r in records
            if wanted(table, r.experiment, r.dataset, r.model, r.method)
            for metric, value in r.metrics.items()
            if metric in metrics
        ],
        columns=[*KEYS, "value", "seed"],
    )
    if layout.get("differences"):
        cells = _differences(measured)
    else:
        runs = measured.groupby(KEYS)
        cells = runs["value"].agg(["mean", "std"]).join(runs["seed"].nunique()).reset_index()
        cells.columns = COLUMNS[:-2]
        cells["seeds"] = list(runs["seed"].agg(frozenset)) if len(cells) else None
        cells["base"] = _originals(measured, cells)
    flat = {key[1:] for key in unperturbed(records)}
    keys = cells[["variant", "dataset", "model", "method"]].itertuples(index=False, name=None)
    of_training = ~cells["metric"].isin(OF_THE_ATTACK)
    cells["unperturbed"] = pd.Series([key in flat for key in keys], cells.index, dtype=bool) & of_training
    cells = _beside_the_paper(table, cells)
    # The paper's order; what it does not know comes last, by name.
    order = [*metrics, *layouts()["names"]]
    cells = cells.sort_values(
        ["dataset", "variant", "model", "metric", "method"],
        key=lambda column: column.map(lambda n: (order.index(n) if n in order else len(order), n)),
    )
    return cells.reset_index(drop=True)


def _originals(measured: pd.DataFrame, cells: pd.DataFrame) -> list[float]:
    """For each cell the original's mean over the same seeds, NaN where it has none of them."""
    keys = ["dataset", "variant", "model", "metric"]
    runs = measured[measured["method"] == "original"].set_index("seed")
    of = {key: part["value"] for key, part in runs.groupby(keys)}
    none = pd.Series(dtype=float)
    values = [of.get(key, none) for key in cells[keys].itertuples(index=False, name=None)]
    return [v[v.index.isin(seeds)].mean() for v, seeds in zip(values, cells["seeds"], strict=True)]


def _beside_the_paper(table: str, cells: pd.DataFrame) -> pd.DataFrame:
    """The cells with the paper's numbers and standard deviations, NaN where it has none."""
    path = HERE / "reference" / f"{table}.csv"
    if not path.exists():
        return cells.assign(paper_value=float("nan"), paper_std=float("nan"))
    paper = pd.read_csv(path).rename(columns={"value": "paper_value", "std": "paper_std"})
    keys = ["dataset", "model", "method", "metric"]
    # The same number of the paper stands beside another metric, another reading of the data, other settings.
    others = [("metric", c["metric"], c.get("reference")) for c in layouts()["tables"][table]["columns"]]
    others += [
        ("dataset", name, entry.raw and entry.stands_for) for name, entry in catalogue.entries().items()
    ]
    for key, ours, theirs in others:
        paper = pd.concat([paper, paper[paper[key] == theirs].assign(**{key: ours})])
    paper = pd.concat([paper, paper.assign(method=paper["method"] + "-released")])
    return cells.merge(paper.reindex(columns=[*keys, "paper_value", "paper_std"]), on=keys, how="left")


def _differences(measured: pd.DataFrame) -> pd.DataFrame:
    """Each method minus the matched control of the same seed; draws of the noise are averaged first."""
    from scipy import stats

    by_seed = measured.groupby([*KEYS, "seed"])["value"].mean().reset_index()
    keys = ["dataset", "variant", "model", "metric", "seed"]
    control = by_seed[by_seed["method"] == "matched"].set_index(keys)["value"]
    both = by_seed[by_seed["method"] != "matched"].join(control.rename("control"), on=keys).dropna()
    rows = []
    for key, part in both.groupby(KEYS):
        difference = part["value"] - part["control"]
        p = stats.ttest_rel(part["value"], part["control"]).pvalue if len(part) > 1 else float("nan")
        sees = half_width([*difference]) if len(part) > 1 else float("nan")
        rows.append((*key, difference.mean(), difference.std(), len(part), sees, p))
    return pd.DataFrame(rows, columns=[*COLUMNS[:-2], "sees", "p"])


def _number(value: float, kind: str) -> str:
    form = layouts()["formats"][kind]
    if "no" in form:  # a share of the runs for which something holds
        return form["no"] if not value else form["yes"] + (f" in {value:.0%}" if value < 1 else "")
    number = format(value * form.get("scale", 1), form["number"]).rstrip(".")  # "#" leaves "100."
    return number + form.get("unit", "")


def _spread(std: float, form: dict[str, Any]) -> str:
    return f"± {format(std * form.get('scale', 1), form['spread'])}{form.get('unit', '')}"


def _cell(row: pd.Series, kind: str) -> dict[str, Any]:
    """The texts of one cell: ours, its spread and change, and the paper's."""
    form = layouts()["formats"][kind]
    value, change, spread = row["value"], "", ""
    if form.get("change") and row["base"] > 0 and row["method"] != "original":
        gain = 100 * (1 - value / row["base"])
        change = f"{'↑' if gain >= 0 else '↓'} {abs(gain):.1f}%"
    if pd.notna(row["std"]) and "spread" in form:
        spread = _spread(row["std"], form)
    if pd.notna(row.get("p")):
        spread += f", sees {_spread(row['sees'], form)[2:]}, p = {row['p']:.2g}, n = {row['n_seeds']}"
    if row["unperturbed"] and form.get("change"):
        change = NO_PERTURBATION
    paper, against = NONE, ""
    if pd.notna(row["paper_value"]):
        paper = _number(row["paper_value"], kind)
        if pd.notna(row["paper_std"]):
            paper += f" {_spread(row['paper_std'], form)}"
        if "unit" in form:
            against = f"{form.get('scale', 1) * (value - row['paper_value']):+.1f} points"
        elif row["paper_value"]:
            against = f"{100 * (value / row['paper_value'] - 1):+.0f}%"
    return {
        "ours": NO_PERTURBATION if row["unperturbed"] and "p" in row else _number(value, kind),
        "spread": "" if row["unperturbed"] and "p" in row else spread,
        "change": change,
        "paper": paper,
        "against": against,
        "best": False,
        "key": tuple(row[k] for k in KEYS[:4]),
    }


def columns(table: str, cells: pd.DataFrame) -> list[dict[str, Any]]:
    """The table's groups of columns, each with its `heads`.

    Where methods are columns: those of the layout that were measured or that the paper has, and further
    levels of noise that were measured. Where they are rows: the metric alone.
    """
    layout = layouts()["tables"][table]
    if layout["rows"] == "method":
        return [column | {"methods": [None], "heads": [column["title"]]} for column in layout["columns"]]
    groups = []
    for column in layout["columns"]:
        of_metric = cells[cells["metric"] == column["metric"]]
        measured = list(of_metric["method"].unique())
        known = [
            m for m in column["methods"] if m in measured or not m.endswith("-released") or layout.get("all")
        ]
        more = [m for m in measured if m.startswith("ga-")] if "ga-0.01" in column["methods"] else []
        methods = list(dict.fromkeys([*known, *more]))
        heads = column.get("heads") or [name_of(method, math=True) for method in methods]
        groups.append(column | {"methods": methods, "heads": heads})
    return groups


def body(table: str, cells: pd.DataFrame) -> list[dict[str, Any]]:
    """Blocks with rows and a cell a column: what every format shows.

    A block is one combination of the layout's `blocks` keys (a data set stands with its variant), a row
    one value of its `rows` key; `in_paper`: whether the paper has a number in it.
    """
    layout = layouts()["tables"][table]
    blocks, groups = [], columns(table, cells)
    block_keys = ["dataset", "variant", *layout["blocks"]] if layout["blocks"] else []
    block_keys = list(dict.fromkeys(block_keys))
    row_keys = [layout["rows"]] if block_keys else [layout["rows"], "variant"]
    shown = {method for group in groups for method in group["methods"]}  # None: every method has a row
    best = _best(cells if None in shown else cells[cells["method"].isin(shown)], layout)
    lines = list(cells.groupby(block_keys, sort=False)) if block_keys else [((), cells)]
    for key, block in lines:
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
            rows.append({"name": row_key[0], "variant": variant, "cells": line, "in_paper": in_paper})
        names = [named[k] for k in layout["blocks"]]
        variant = data_of(named["variant"]) if block_keys else None
        blocks.append({"names": names, "variant": variant, "rows": rows})
    return blocks


def _ordered(block: pd.DataFrame, row_keys: list[str], layout: dict[str, Any]):
    """The block's rows in the layout's order where it lists them, else in the order of the cells."""
    parts = list(block.groupby(row_keys, sort=False))
    listed = layout.get("where", {}).get(layout["rows"], [])
    return sorted(parts, key=lambda part: listed.index(part[0][0]) if part[0][0] in listed else len(listed))


def _shown(found: pd.DataFrame, kind: str, best: dict) -> dict[str, Any] | None:
    if found.empty:
        return None
    row = found.iloc[0]
    cell = _cell(row, kind)
    text, seeds = best.get(tuple(row[k] for k in ("dataset", "variant", "model", "metric")), (None, 0))
    cell["best"] = cell["ours"] == text and row["n_seeds"] == seeds and not row["unperturbed"]
    return cell


def _best(cells: pd.DataFrame, layout: dict[str, Any]) -> dict[tuple, tuple[str, int]]:
    """The best text of the methods that can be compared, by (dataset, variant, model, metric).

    These have the most seeds, and their number stands beside: the others are of fewer trainings.
    """
    out = {}
    kinds = {column["metric"]: column["format"] for column in layout["columns"]}
    for key, part in cells.groupby(["dataset", "variant", "model", "metric"]):
        rule = layouts()["formats"][kinds[key[-1]]].get("best")
        seeds = part["n_seeds"].max()
        part = part[(part["n_seeds"] == seeds) & ~part["unperturbed"]]
        if rule and len(part) > 1:
            value = part["value"].min() if rule == "low" else part["value"].max()
            out[key] = _number(value, kinds[key[-1]]), seeds  # equal to the digits shown is equal
    return out


def caption(table: str, records: list[Record], quote: Callable[[str], str] = str) -> str:
    """The layout's caption, what the records' settings say of its `notes`, and which data are incomplete.

    quote: makes plain text of what the records say, in the format that the caption is for.
    """
    layout = layouts()["tables"][table]
    text = [layout["caption"].strip()]
    records = [r for r in records if wanted(table, r.experiment, r.dataset, r.model, r.method)]
    for title, key in layout.get("notes", {}).items():
        found = {quote(str(r.settings[key])) for r in records if key in r.settings}
        text += [f"{title}: {', '.join(sorted(found))}."] if found else []
    draws = {r.draw for r in records} - {None}
    text += [f"{layout['draws']}: {len(draws)}."] if "draws" in layout and draws else []
    kinds = {c.get("format") for c in layout["columns"]}
    if any(layouts()["formats"].get(kind, {}).get("change") for kind in kinds):
        text.append("↑: so much lower an error than the original's; ↓: higher.")
    if flat := unperturbed(records):
        text.append(
            f"{NO_PERTURBATION.capitalize()}: the median change of the UAEs is below one grey level, so the "
            f"comparison tests nothing ({len(flat)} of the models)."
        )
    if mixed := settings_differ(records):
        text.append(f"Runs with different settings stand in one cell: {quote(', '.join(mixed))}.")
    smaller = {r.variant.partition("+")[0] for r in records if not complete(r.variant)}
    text += [f"Data {variant}: {catalogue.describe(variant)}." for variant in sorted(smaller)]
    return " ".join(text)


def label(table: str) -> str:
    """`table4` as `Table 4`; the layout's own label where it has one."""
    known = layouts()["tables"].get(table, {}).get("label")
    return known or layouts()["labels"].get(table) or re.sub(r"(\d+)", r" \1", table).capitalize()


def plain_heads(groups: list[dict[str, Any]]) -> list[str]:
    """The heads of all columns without TeX."""
    return [plain(head) for group in groups for head in group["heads"]]
