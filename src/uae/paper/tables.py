"""The numbers and the caption of a table: every cell has ours beside the paper's.

`tables.yaml` has the layouts, and `parts.py` turns the numbers into text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from uae.data import catalogue
from uae.intervals import half_width, paired_p
from uae.paper import cells, comparison
from uae.paper.layouts import layouts, wanted
from uae.paper.names import complete
from uae.paper.perturbation import NO_PERTURBATION, OF_THE_ATTACK, unperturbed
from uae.records import Record

HERE = Path(__file__).parent
KEYS = ["dataset", "variant", "model", "method", "metric"]
COLUMNS = [*KEYS, "value", "std", "n_seeds", "paper_value", "paper_std"]


def tidy(table: str, records: list[Record]) -> pd.DataFrame:
    """One row per cell: mean and standard deviation over the runs, beside the paper's number.

    A run is a seed or, for Gaussian augmentation, a draw of the noise. `n_seeds` counts the seeds, and `std`
    is empty for a single run. The rows follow the paper's order. In a table of `differences` the cells are
    paired differences to the matched control, `p` is the p-value of a t-test, and `sees` is the smallest
    difference that the runs could have seen: half of the 95 % interval.
    Some columns are shown but not written: `unperturbed` (see `uae.paper.perturbation`) and, except in
    `differences`, `seeds` and `base`, the original's mean over these seeds.
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
        cells = _differences(measured, records)
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
    # The paper's order; names that it lacks come last, sorted.
    order = [*metrics, *layouts()["names"]]
    cells = cells.sort_values(
        ["dataset", "variant", "model", "metric", "method"],
        key=lambda column: column.map(lambda n: (order.index(n) if n in order else len(order), n)),
    )
    return cells.reset_index(drop=True)


def _originals(measured: pd.DataFrame, cells: pd.DataFrame) -> list[float]:
    """For each cell, the original's mean over the same seeds; NaN if it has none of them."""
    keys = ["dataset", "variant", "model", "metric"]
    runs = measured[measured["method"] == "original"].set_index("seed")
    of = {key: part["value"] for key, part in runs.groupby(keys)}
    none = pd.Series(dtype=float)
    values = [of.get(key, none) for key in cells[keys].itertuples(index=False, name=None)]
    return [v[v.index.isin(seeds)].mean() for v, seeds in zip(values, cells["seeds"], strict=True)]


def _beside_the_paper(table: str, cells: pd.DataFrame) -> pd.DataFrame:
    """The cells with the paper's numbers and standard deviations; NaN if it has none."""
    path = HERE / "reference" / f"{table}.csv"
    if not path.exists():
        return cells.assign(paper_value=float("nan"), paper_std=float("nan"))
    paper = pd.read_csv(path).rename(columns={"value": "paper_value", "std": "paper_std"})
    keys = ["dataset", "model", "method", "metric"]
    # The paper's number is repeated beside another metric, another reading of the data, or other settings.
    others = [("metric", c["metric"], c.get("reference")) for c in layouts()["tables"][table]["columns"]]
    others += [
        ("dataset", name, entry.raw and entry.stands_for) for name, entry in catalogue.entries().items()
    ]
    for key, ours, theirs in others:
        paper = pd.concat([paper, paper[paper[key] == theirs].assign(**{key: ours})])
    paper = pd.concat([paper, paper.assign(method=paper["method"] + "-released")])
    return cells.merge(paper.reindex(columns=[*keys, "paper_value", "paper_std"]), on=keys, how="left")


def _differences(measured: pd.DataFrame, records: list[Record]) -> pd.DataFrame:
    """Each method minus the matched control of the same seed; draws of the noise are averaged first.

    What a single seed sees comes from the spread of other runs, as in verdicts.
    """
    spread = cells.measured(records).usual_spread
    by_seed = measured.groupby([*KEYS, "seed"])["value"].mean().reset_index()
    keys = ["dataset", "variant", "model", "metric", "seed"]
    control = by_seed[by_seed["method"] == "matched"].set_index(keys)["value"]
    both = by_seed[by_seed["method"] != "matched"].join(control.rename("control"), on=keys).dropna()
    rows = []
    for key, part in both.groupby(KEYS):
        difference, sees = part["value"] - part["control"], float("nan")
        dataset, variant, model, method, metric = key
        usual = spread(("reconstruction", dataset, model, method, metric), variant)
        if len(part) > 1:
            sees = half_width([*difference])
        elif usual:
            sees = comparison.single(usual, 2)
        rows.append((*key, difference.mean(), difference.std(), len(part), sees, paired_p([*difference])))
    return pd.DataFrame(rows, columns=[*COLUMNS[:-2], "sees", "p"])


def caption(
    table: str,
    records: list[Record],
    quote: Callable[[str], str] = str,
    own: Callable[[str], str] = str,
) -> str:
    """The layout's caption, the `notes` from the records' settings, and the incomplete data.

    quote, own: convert text to the format of the caption. `quote` takes text of records, `own` takes text of
    layouts, which have Markdown's code and Unicode.
    """
    layout = layouts()["tables"][table]
    text = [own(layout["caption"].strip())]
    records = [r for r in records if wanted(table, r.experiment, r.dataset, r.model, r.method)]
    for title, key in layout.get("notes", {}).items():
        found = {quote(str(r.settings[key])) for r in records if key in r.settings}
        text += [f"{own(title)}: {', '.join(sorted(found))}."] if found else []
    draws = {r.draw for r in records} - {None}
    text += [f"{own(layout['draws'])}: {len(draws)}."] if "draws" in layout and draws else []
    kinds = {c.get("format") for c in layout["columns"]}
    if any(layouts()["formats"].get(kind, {}).get("change") for kind in kinds):
        text.append(own("↑: the error is lower than the original's by this share; ↓: higher."))
    flat = unperturbed(records)
    if any(layouts()["formats"].get(kind, {}).get("best") for kind in kinds):
        aside = f", {NO_PERTURBATION} aside" * bool(flat)
        text.append(f"Bold: the best of the methods with the most seeds{aside}.")
    if flat:
        text.append(
            f"{NO_PERTURBATION.capitalize()}: the median change of the UAEs is below one grey level, so the "
            f"comparison tests nothing ({len(flat)} of the models)."
        )
    if mixed := _mixed(records):
        text.append(f"Cells that pool runs with different settings: {quote(', '.join(mixed))}.")
    smaller = {r.variant.partition("+")[0] for r in records if not complete(r.variant)}
    text += [own(f"Data {variant}: {catalogue.describe(variant)}.") for variant in sorted(smaller)]
    return " ".join(text)


def _mixed(records: list[Record]) -> list[str]:
    """The cells, as dataset/model/method, whose runs on one variant of the data differ in settings."""
    found: dict[tuple[str, ...], set[str]] = {}
    for r in records:
        key = (r.experiment, r.variant, r.dataset, r.model, r.method)
        found.setdefault(key, set()).add(json.dumps(r.settings, sort_keys=True))
    return sorted({"/".join(key[2:]) for key, settings in found.items() if len(settings) > 1})


def label(table: str) -> str:
    """`table4` as `Table 4`, or the layout's label if it has one."""
    known = layouts()["tables"].get(table, {}).get("label")
    return known or layouts()["labels"].get(table) or re.sub(r"(\d+)", r" \1", table).capitalize()
