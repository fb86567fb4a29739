"""Tables: tidy CSV, LaTeX in the paper's layout, Markdown; ours beside the paper's in every cell."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from uae import storage
from uae.records import Record

HERE = Path(__file__).parent
COLUMNS = ["dataset", "variant", "model", "method", "metric", "value", "std", "n_seeds", "paper_value"]


@functools.cache
def layouts() -> dict[str, Any]:
    return yaml.safe_load((HERE / "tables.yaml").read_text(encoding="utf-8"))


def name_of(key: str, math: bool = True) -> str:
    """A name for people; without `math`, in Unicode."""
    name = layouts()["names"].get(key, key)
    if math:
        return name
    unicode = {r"$L_2$": "L₂", r"$\sigma = 0.01$": "σ = 0.01", r"$\sigma = 10^{-3}$": "σ = 10⁻³"}
    return functools.reduce(lambda text, item: text.replace(*item), unicode.items(), name)


def tidy(table: str, records: list[Record]) -> pd.DataFrame:
    """One row a cell: mean and standard deviation over the runs, beside the paper's number.

    A run is a seed, and for Gaussian augmentation a draw of the noise; `n_seeds` counts the seeds
    alone, and `std` is empty for a single run. The rows follow the paper's order.
    """
    metrics = [group["metric"] for group in layouts()["tables"][table]["groups"]]
    measured = pd.DataFrame(
        [
            (r.dataset, r.variant, r.model, r.method, metric, value, r.seed)
            for r in records
            for metric, value in r.metrics.items()
            if metric in metrics
        ],
        columns=[*COLUMNS[:6], "seed"],
    )
    runs = measured.groupby(COLUMNS[:5])
    cells = runs["value"].agg(["mean", "std"]).join(runs["seed"].nunique()).reset_index()
    cells.columns = COLUMNS[:8]
    paper = pd.read_csv(HERE / "reference" / f"{table}.csv").rename(columns={"value": "paper_value"})
    join = ["dataset", "model", "method", "metric"]
    both = [paper, paper.assign(method=paper["method"] + "-released")]
    cells = cells.merge(pd.concat(both)[[*join, "paper_value"]], on=join, how="left")
    # The paper's order; what it does not know comes last, by name.
    order = [*metrics, *layouts()["names"]]
    cells = cells.sort_values(
        ["dataset", "variant", "model", "metric", "method"],
        key=lambda column: column.map(lambda n: (order.index(n) if n in order else len(order), n)),
    )
    return cells[COLUMNS].reset_index(drop=True)


def _number(value: float, kind: str) -> str:
    if kind == "percent":
        return f"{100 * value:.2f}%"
    if kind == "count":
        return f"{value:g}"
    return f"{value:.5f}"


def _cell(row: pd.Series, base: float | None, kind: str) -> dict[str, str]:
    """The texts of one cell: ours, its spread and change, and the paper's."""
    value, change, spread = row["value"], "", ""
    if kind == "error" and base is not None and row["method"] != "original":
        gain = 100 * (1 - value / base)
        change = f"{'↑' if gain >= 0 else '↓'} {abs(gain):.1f}%"
    if pd.notna(row["std"]) and kind != "count":
        spread = f"± {100 * row['std']:.2f}%" if kind == "percent" else f"± {row['std']:.1e}"
    paper = "–" if pd.isna(row["paper_value"]) else _number(row["paper_value"], kind)
    return {"ours": _number(value, kind), "spread": spread, "change": change, "paper": paper}


def columns(table: str, cells: pd.DataFrame) -> list[dict[str, Any]]:
    """The table's groups of columns: the layout's, and any further method that was measured."""
    groups = []
    for group in layouts()["tables"][table]["groups"]:
        measured = cells[cells["metric"] == group["metric"]]["method"].unique()
        groups.append(group | {"methods": list(dict.fromkeys([*group["methods"], *measured]))})
    return groups


def body(table: str, cells: pd.DataFrame) -> list[dict[str, Any]]:
    """Blocks by data set, each with a row a model and a cell a column: what every format shows."""
    blocks, groups = [], columns(table, cells)
    for (dataset, variant), block in cells.groupby(["dataset", "variant"], sort=False):
        rows = []
        for model, part in block.groupby("model", sort=False):
            by_key = {(r["method"], r["metric"]): r for _, r in part.iterrows()}
            line = []
            for group in groups:
                base = by_key.get(("original", group["metric"]))
                base = None if base is None else base["value"]
                found = [by_key.get((method, group["metric"])) for method in group["methods"]]
                texts = [None if row is None else _cell(row, base, group["format"]) for row in found]
                shown = [text["ours"] for text in texts if text]  # equal to the digits shown is equal
                for text in filter(None, texts):
                    text["best"] = group["format"] == "error" and text["ours"] == min(shown)
                line += texts
            rows.append({"model": model, "cells": line})
        blocks.append({"dataset": dataset, "variant": variant, "rows": rows})
    return blocks


def _markdown(table: str, cells: pd.DataFrame) -> str:
    layout = layouts()["tables"][table]
    heads = [
        f"{group['title']}: {name_of(method, math=False)}"
        for group in columns(table, cells)
        for method in group["methods"]
    ]
    lines = [f"**{label(table)}.** {layout['title']}.", ""]
    for block in body(table, cells):
        lines += [f"{name_of(block['dataset'])} (data: `{block['variant']}`)", ""]
        lines += ["| model | | " + " | ".join(heads) + " |", "|---|---|" + "---|" * len(heads)]
        for row in block["rows"]:
            ours = [
                "–" if c is None else _bold(" ".join(filter(None, _ours(c))), c["best"]) for c in row["cells"]
            ]
            paper = ["–" if c is None else c["paper"] for c in row["cells"]]
            lines.append(f"| {name_of(row['model'])} | ours | " + " | ".join(ours) + " |")
            lines.append("| | paper | " + " | ".join(paper) + " |")
        lines.append("")
    return "\n".join([*lines, layout["caption"].strip(), ""])


def label(table: str) -> str:
    """`table4` as `Table 4`."""
    return re.sub(r"(\d+)", r" \1", table).capitalize()


def _ours(cell: dict[str, Any]) -> tuple[str, str, str]:
    return cell["ours"], cell["spread"], f"({cell['change']})" if cell["change"] else ""


def _bold(text: str, best: bool) -> str:
    return f"**{text}**" if best else text


def _tex_escape(text: str) -> str:
    for old, new in (
        ("%", r"\%"),
        ("±", r"$\pm$"),
        ("↑", r"$\uparrow$"),
        ("↓", r"$\downarrow$"),
        ("–", "--"),
    ):
        text = text.replace(old, new)
    return text


def _latex(table: str, cells: pd.DataFrame) -> str:
    """A booktabs table* to be \\input; needs the packages booktabs and graphicx."""
    layout = layouts()["tables"][table]
    groups = columns(table, cells)
    width = sum(len(group["methods"]) for group in groups)
    top = " & ".join(rf"\multicolumn{{{len(g['methods'])}}}{{c}}{{{g['title']}}}" for g in groups)
    rules, first = [], 3
    for group in groups:
        rules.append(rf"\cmidrule(lr){{{first}-{first + len(group['methods']) - 1}}}")
        first += len(group["methods"])
    heads = " & ".join(name_of(method) for group in groups for method in group["methods"])
    lines = [
        "% Needs \\usepackage{booktabs,graphicx}.",
        r"\begin{table*}[t]",
        r"\centering",
        rf"\caption{{{layout['title']}. {_tex_escape(layout['caption'].strip())}}}",
        rf"\label{{tab:{table}}}",
        r"\resizebox{\textwidth}{!}{%",
        rf"\begin{{tabular}}{{ll{'c' * width}}}",
        r"\toprule",
        rf" & & {top} \\",
        " ".join(rules),
        rf"Autoencoder & & {heads} \\",
    ]
    for block in body(table, cells):
        title = rf"{name_of(block['dataset'])} (data: \texttt{{{block['variant']}}})"
        lines += [r"\midrule", rf"\multicolumn{{{width + 2}}}{{l}}{{\textbf{{{title}}}}} \\"]
        for row in block["rows"]:
            ours, spreads, paper = [], [], []
            for cell in row["cells"]:
                cell = cell or {"ours": "–", "spread": "", "change": "", "paper": "–", "best": False}
                number = _tex_escape(cell["ours"])
                ours.append(rf"\textbf{{{number}}}" if cell["best"] else number)
                spreads.append(_tex_escape(" ".join(filter(None, _ours(cell)[1:]))))
                paper.append(_tex_escape(cell["paper"]))
            lines.append(rf"{name_of(row['model'])} & ours & {' & '.join(ours)} \\")
            if any(spreads):
                small = [rf"{{\footnotesize {text}}}" if text else "" for text in spreads]
                lines.append(rf" & & {' & '.join(small)} \\")
            emphasised = [rf"\emph{{{text}}}" for text in paper]
            lines.append(rf" & \emph{{paper}} & {' & '.join(emphasised)} \\[2pt]")
    lines += [r"\bottomrule", r"\end{tabular}}", r"\end{table*}", ""]
    return "\n".join(lines)


def render(table: str, records: list[Record], folder: Path) -> None:
    """Write <table>.csv, .tex and .md to the folder."""
    cells = tidy(table, records)
    storage.write_text(folder / f"{table}.csv", cells.to_csv(index=False, float_format="%.8g"))
    storage.write_text(folder / f"{table}.tex", _latex(table, cells))
    storage.write_text(folder / f"{table}.md", _markdown(table, cells))
