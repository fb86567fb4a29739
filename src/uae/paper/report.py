"""The report: one HTML page with every table and figure, what was run, on what, and how long."""

from __future__ import annotations

import base64
from pathlib import Path

import jinja2
import pandas as pd

from uae import records, storage
from uae.paper import tables

HERE = Path(__file__).parent


def _seconds(loaded: list[records.Record]) -> pd.DataFrame:
    """Seconds by data set, model and stage; a training or attack shared by records counts once each."""
    rows = [
        (r.dataset, r.model, r.method, stage, p.device, p.seconds)
        for r in loaded
        for stage, p in r.provenance.items()
    ]
    frame = pd.DataFrame(rows, columns=["dataset", "model", "method", "stage", "device", "seconds"])
    keys = ["dataset", "model", "stage", "device"]
    return frame.groupby(keys, sort=False)["seconds"].agg(["sum", "count"]).reset_index()


def write(results: Path, target: Path, scale: str) -> None:
    """Write the report of the records and figures under `results`."""
    loaded = records.load(results / "records")
    shown = []
    for name, layout in tables.layouts()["tables"].items():
        cells = tables.tidy(name, loaded)
        if len(cells):
            groups = tables.columns(name, cells)
            heads = [tables.name_of(m, math=False) for g in groups for m in g["methods"]]
            shown.append(
                {
                    "id": name,
                    "label": tables.label(name),
                    "title": layout["title"],
                    "caption": layout["caption"],
                    "groups": groups,
                    "heads": heads,
                    "blocks": tables.body(name, cells),
                }
            )
    figures = [
        {
            "id": path.stem,
            "label": tables.label(path.stem),
            "png": base64.b64encode(path.read_bytes()).decode(),
        }
        for path in sorted((results / "figures").glob("*.png"))
    ]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    first = loaded[0].provenance["evaluation"]
    text = environment.get_template("report.html.jinja").render(
        scale=scale,
        tables=shown,
        figures=figures,
        name_of=lambda key: tables.name_of(key, math=False),
        variants=sorted({(r.dataset, r.variant, r.title, int(r.metrics["n_train"])) for r in loaded}),
        seeds=sorted({r.seed for r in loaded}),
        seconds=_seconds(loaded).to_dict("records"),
        commits=sorted({p.commit for r in loaded for p in r.provenance.values()}),
        packages=first.packages | {"python": first.python},
        count=len(loaded),
        records=loaded,
    )
    storage.write_text(target, text)
