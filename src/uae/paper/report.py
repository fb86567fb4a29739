"""The report: one HTML page with verdicts, tables and figures, and where each number comes from."""

from __future__ import annotations

import base64
import html
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup

from uae import records, storage
from uae.paper import claims, escape, filling, names, parts, tables, verdicts
from uae.paper.layouts import items

HERE = Path(__file__).parent


def write(
    results: Path, target: Path, scale: str, captions: Path | None = None, fill: str | None = None
) -> None:
    """Write the report of the records and figures under `results`.

    captions: a folder with <table or figure>.rst, a text each.  fill: see `uae.paper.filling`.
    """
    found = filling.load(results, fill)
    loaded = list(found.values())
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    by_settings = {name: claims.evaluate(loaded, settings=name) for name in verdicts.SETTINGS}
    text = environment.get_template("report.html.jinja").render(
        scale=scale,
        by_settings={
            name: ran
            for name, found in by_settings.items()
            if (ran := [v for v in found if v.verdict != claims.NOT_RUN])
        },
        counts={name: verdicts.counts(found) for name, found in by_settings.items()},
        not_run=[v.claim for v in by_settings["paper"] if v.verdict == claims.NOT_RUN],
        text=verdicts,
        tables=_tables(found),
        figures=_figures(results / "figures", captions),
        name_of=lambda key: names.name_of(key, math=False),
        variants=_variants(loaded),
        seconds=_seconds(loaded).to_dict("records"),
        commits=sorted({p.commit for r in loaded for p in r.provenance.values()}),
        packages=_packages(loaded),
        records=[(_anchor(path), r) for path, r in found.items()],
    )
    storage.write_text(target, text)


def _tables(found: dict[Path, records.Record]) -> list[dict[str, Any]]:
    """What the page shows of each table that has cells. Each is made from the records of its own folder:
    two folders can have records of one method."""
    shown = []
    for name, layout in tables.layouts()["tables"].items():
        own = {path: r for path, r in found.items() if path.parts[0] == items()["tables"][name]}
        loaded = list(own.values())
        numbers = tables.tidy(name, loaded)
        if numbers.empty:
            continue
        by_key: dict[tuple[str, ...], list[Path]] = {}
        for path, r in own.items():
            by_key.setdefault((r.dataset, r.variant, r.model, r.method), []).append(path)
        divided = parts.divide(name, numbers)
        rows = [row for part in divided for block in part["blocks"] for row in block["rows"]]
        for cell in filter(None, (cell for row in rows for cell in row["cells"])):
            runs = by_key[cell["key"]]
            cell["anchor"], cell["from"] = _anchor(runs[0]), _provenance([own[path] for path in runs])
        over = layout["rows"] != "method"
        for part in divided:
            part["plain"] = parts.plain_heads(part)
            part["over"] = [(names.plain(title), count) for title, _, count in parts.titles(part)] * over
        shown.append(
            {
                "id": name,
                "label": tables.label(name),
                "title": layout["title"],
                "caption": Markup(tables.caption(name, loaded, html.escape, escape.html)),
                "head": layout["head"],
                "parts": divided,
                "best": any(cell and cell["best"] for row in rows for cell in row["cells"]),
                "paper": any(row["in_paper"] for row in rows),
            }
        )
    return shown


def _anchor(path: Path) -> str:
    """A record's place on the page."""
    return "-".join(path.with_suffix("").parts).replace("@", "-at-")


def _provenance(runs: list[records.Record]) -> str:
    """Where a cell's numbers come from, in a line: runs, commits, device, seconds."""
    stages = [stage for r in runs for stage in r.provenance.values()]
    commits = ", ".join(sorted({stage.commit for stage in stages}))
    devices = ", ".join(sorted({stage.device for stage in stages}))
    seconds = sum(stage.seconds for stage in stages)
    seeds = ", ".join(str(seed) for seed in sorted({r.seed for r in runs}))
    return f"{len(runs)} record(s), seed {seeds}; commit {commits}; {devices}; {seconds:.0f} s in all"


def _figures(folder: Path, captions: Path | None) -> list[dict[str, str]]:
    figures = []
    for path in sorted(folder.glob("*.png"), key=_natural):
        caption = captions / f"{path.stem}.rst" if captions else None
        figures.append(
            {
                "id": path.stem,
                "label": tables.label(path.stem),
                "caption": caption.read_text(encoding="utf-8") if caption and caption.exists() else "",
                "png": base64.b64encode(path.read_bytes()).decode(),
            }
        )
    return figures


def _natural(path: Path) -> tuple[int, str]:
    """figure2 before figure10a; what has no number comes last."""
    digits = "".join(c for c in path.stem if c.isdigit())
    return (int(digits) if digits and path.stem.startswith("figure") else 99, path.stem)


def _variants(loaded: list[records.Record]) -> list[tuple[str, str, str, str, bool]]:
    """The paper's data set, the data that stand for it, how many training samples, and whether all of it."""
    found = {(r.dataset, r.variant, r.title, r.metrics.get("n_train")) for r in loaded}
    numbers: dict[tuple[str, str, str], list[float]] = {}
    for dataset, variant, title, n in found:
        numbers.setdefault((dataset, variant, title), []).extend([] if n is None else [n])
    return [
        (*key, ", ".join(f"{n:,.0f}" for n in sorted(set(ns))) or "–", names.complete(key[1]))
        for key, ns in sorted(numbers.items())
    ]


def _seconds(loaded: list[records.Record]) -> pd.DataFrame:
    """Seconds by experiment, data set, model and stage. A training or an attack that several records rest on
    counts once."""
    rows = dict.fromkeys(
        (r.experiment, r.dataset, r.model, stage, p.device, p.seconds, p.settings_hash, p.commit)
        for r in loaded
        for stage, p in r.provenance.items()
    )
    keys = ["experiment", "dataset", "model", "stage", "device"]
    frame = pd.DataFrame([row[:6] for row in rows], columns=[*keys, "seconds"])
    return frame.groupby(keys, sort=False)["seconds"].agg(["sum", "count"]).reset_index()


def _packages(loaded: list[records.Record]) -> dict[str, str]:
    """The versions that the records were made with, several where they differ."""
    found: dict[str, set[str]] = {}
    for r in loaded:
        for stage in r.provenance.values():
            for name, version in (stage.packages | {"python": stage.python}).items():
                found.setdefault(name, set()).add(version)
    return {name: ", ".join(sorted(versions)) for name, versions in found.items()}
