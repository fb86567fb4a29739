"""The headline numbers of a scale in one small JSON, which `dvc metrics` shows and compares."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from uae import storage
from uae.paper import claims, filling, tables

METHODS = ("original", "mine-uae", "mine-uae-released", "matched")


def numbers(results: Path, fill: str | None = None) -> dict[str, Any]:
    """The headline numbers of a scale's records, by data set and autoencoder if they belong to one.

    verdicts: the number of the paper's claims with each verdict.  test_error, asr: means over seeds, for
    Table 4's main methods.  fill: see `uae.paper.filling`.
    """
    found = filling.load(results, fill)
    verdicts = Counter(v.verdict for v in claims.evaluate([*found.values()]) if not v.claim.ours)
    cells = tables.tidy("table4", [*filling.of_table(found, "table4").values()])
    said: dict[str, Any] = {"verdicts": {name.replace(" ", "_"): verdicts[name] for name in claims.VERDICTS}}
    for cell in cells[cells["method"].isin(METHODS)].itertuples():
        row = said.setdefault(cell.metric, {}).setdefault(f"{cell.variant}/{cell.model}", {})
        row[cell.method] = float(f"{cell.value:.6g}")
    return said


def write(results: Path, target: Path, fill: str | None = None) -> None:
    storage.write_text(target, json.dumps(numbers(results, fill), indent=1, sort_keys=True) + "\n")
