"""The report: one HTML page with verdicts, tables and figures, and the origin of each number."""

from __future__ import annotations

import base64
import html
import re
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup

from uae import records, storage
from uae.paper import (
    claims,
    escape,
    filling,
    gain_figure,
    names,
    parts,
    perturbation,
    reasons,
    story,
    tables,
    verdicts,
)
from uae.paper.layouts import layouts, pictures

HERE = Path(__file__).parent
CITATION = HERE.parents[2] / "CITATION.cff"
PAGE, STYLE = "report.html.jinja", "report.css.jinja"
PREVIEW = "preview"  # this scale's numbers say nothing about the paper


def write(
    results: Path, target: Path, scale: str, captions: Path | None = None, fill: str | None = None
) -> int:
    """Write the report of the records and figures under `results`. Returns the number of records.

    captions: a folder with a text <table or figure>.rst for each.  fill: see `uae.paper.filling`.
    """
    found = filling.load(results, fill)
    loaded = list(found.values())
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    by_settings = {name: claims.evaluate(loaded, settings=name) for name in verdicts.SETTINGS}
    paper, changed = by_settings["paper"], perturbation.changes(loaded)
    gains = gain_figure.gains(tables.tidy("table4", [*filling.of_table(found, "table4").values()]))
    variants = _variants(loaded)
    text = environment.get_template(PAGE).render(
        style=STYLE,
        scale=scale,
        preview=scale == PREVIEW,
        links=_links(),
        summary=map(Markup, story.summary(loaded, paper, changed, gains, scale == PREVIEW)),
        counts=reasons.counts([v for v in paper if not v.claim.ours]),
        drawing=gain_figure.drawing(gains),
        by_settings=[
            {"title": verdicts.SETTINGS[name], "suffix": f"-{name}" * (name != "paper"), "sections": sections}
            for name, all_ in by_settings.items()
            if (sections := reasons.sections(all_))
        ],
        not_run=[v.claim for v in paper if v.verdict == claims.NOT_RUN],
        legend=reasons.LEGEND,
        smaller=not all(variant[-1] for variant in variants),
        tables=_tables(found),
        figures=_figures(results / "figures", captions),
        name_of=lambda key: names.name_of(key, math=False),
        device=names.device_of,
        variants=variants,
        seconds=_seconds(loaded).to_dict("records"),
        commits=sorted({p.commit for r in loaded for p in r.provenance.values()}),
        packages=_packages(loaded),
        records=[(_anchor(path), r) for path, r in found.items()],
    )
    storage.write_text(target, text)
    return len(loaded)


def _links() -> dict[str, str]:
    """The addresses of the paper and the repository in CITATION.cff."""
    text = CITATION.read_text(encoding="utf-8") if CITATION.is_file() else ""
    arxiv = re.search(r"arXiv:(\d{4}\.\d{4,5})", text)
    code = re.search(r"^repository-code: *[\"']?(https://[^\s\"']+)", text, re.MULTILINE)
    found = {"Paper": arxiv and f"https://arxiv.org/abs/{arxiv[1]}", "Repository": code and code[1]}
    return {name: address for name, address in found.items() if address}


def _tables(found: dict[Path, records.Record]) -> list[dict[str, Any]]:
    """The page's content for each table that has cells."""
    shown = []
    for name, layout in layouts()["tables"].items():
        own = filling.of_table(found, name)
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
            titles = [title for title, count in part["over"] for _ in range(count)]
            # On a phone a cell is alone, so the title must distinguish groups with the same heads
            several = len(part["over"]) > 1
            part["full"] = [
                f"{titles[place]}: {head}" if several else head for place, head in enumerate(part["plain"])
            ]
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
    """The anchor of a record on the page."""
    return "-".join(path.with_suffix("").parts).replace("@", "-at-")


def _provenance(runs: list[records.Record]) -> str:
    """The origin of a cell's numbers, in a line: runs, commits, device, seconds."""
    stages = [stage for _, _, stage in records.jobs(runs)]
    commits = ", ".join(sorted({stage.commit for stage in stages}))
    devices = ", ".join(sorted({names.device_of(stage.device) for stage in stages}))
    seconds = sum(stage.seconds for stage in stages)
    seeds = sorted({r.seed for r in runs})
    return (
        f"{story.counted(len(runs), 'run')}, seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}; "
        f"commit {commits}; {devices}; {seconds:.0f} s in all."
    )


def _figures(folder: Path, captions: Path | None) -> list[dict[str, str]]:
    known, found = pictures(), []
    for path in sorted(folder.glob("*.png"), key=_natural):
        caption = captions / f"{path.stem}.rst" if captions else None
        label, about = tables.label(path.stem), known.get(path.stem, {})
        text = caption.read_text(encoding="utf-8") if caption and caption.exists() else ""
        title = about.get("title", "")
        found.append(
            {
                "id": path.stem,
                "label": label,
                "title": title,
                "alt": about.get("alt") or f"{label}: {title or text.partition('. ')[0]}".strip(": "),
                "caption": text,
                "png": base64.b64encode(path.read_bytes()).decode(),
            }
        )
    return found


def _natural(path: Path) -> tuple[int, str]:
    """A sort key: figure2 before figure10a; names without a number come last."""
    digits = "".join(c for c in path.stem if c.isdigit())
    return (int(digits) if digits and path.stem.startswith("figure") else 99, path.stem)


def _variants(loaded: list[records.Record]) -> list[tuple[str, str, str, str, bool]]:
    """The paper's data set, the data that represent it, their training samples, and their completeness."""
    found = {(r.dataset, r.variant, r.title, r.metrics.get("n_train")) for r in loaded}
    numbers: dict[tuple[str, str, str], list[float]] = {}
    for dataset, variant, title, n in found:
        numbers.setdefault((dataset, variant, title), []).extend([] if n is None else [n])
    return [
        (*key, ", ".join(f"{n:,.0f}" for n in sorted(set(ns))) or "–", names.complete(key[1]))
        for key, ns in sorted(numbers.items())
    ]


def _seconds(loaded: list[records.Record]) -> pd.DataFrame:
    """Seconds by experiment, data set, model and stage."""
    rows = [
        (r.experiment, r.dataset, r.model, stage, p.device, p.seconds) for r, stage, p in records.jobs(loaded)
    ]
    keys = ["experiment", "dataset", "model", "stage", "device"]
    frame = pd.DataFrame(rows, columns=[*keys, "seconds"])
    return frame.groupby(keys, sort=False)["seconds"].agg(["sum", "count"]).reset_index()


def _packages(loaded: list[records.Record]) -> dict[str, str]:
    """The package versions of the records; several if they differ."""
    found: dict[str, set[str]] = {}
    for r in loaded:
        for stage in r.provenance.values():
            for name, version in (stage.packages | {"python": stage.python}).items():
                found.setdefault(name, set()).add(version)
    return {name: ", ".join(sorted(versions)) for name, versions in found.items()}
