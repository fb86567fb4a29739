"""Commands that render a table, a figure or the report, or print the configuration."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Annotated

import typer

from uae.cli import scales
from uae.cli.common import (
    USERS,
    ConfigFiles,
    Fill,
    OfFiles,
    Out,
    app,
    configured,
    examples,
    filling_scale,
)
from uae.errors import InputError

Scale = Annotated[
    str | None,
    typer.Option(help="The scale of the records, or its file. Default: the largest scale that has records."),
]


@app.command(
    rich_help_panel=USERS,
    epilog=examples(
        "uae render table4",
        "uae render all --scale paper",
        "uae render table4 --compact --out my-paper",
        "uae render figure5 --out my-paper --width 3.25 --style ieee",
        "uae render table4 results/preview/records/reconstruction",
    ),
)
def render(
    what: Annotated[str, typer.Argument(help="A table or a figure (table4, figure5, …), or all of a scale.")],
    inputs: Annotated[
        list[Path] | None,
        typer.Argument(
            help="The table's records or their folder, or the figure's files. Default: the scale's."
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="The folder to write to.")] = Path(),
    scale: Scale = None,
    fill: Fill = None,
    width: Annotated[float | None, typer.Option(help="Width of a figure in inches.")] = None,
    style: Annotated[str | None, typer.Option(help="A matplotlib style, or its file, for a figure.")] = None,
    compact: Annotated[
        bool, typer.Option("--compact", help="For a table: only the columns that the paper has.")
    ] = False,
) -> None:
    """Render a table or a figure in all its formats."""
    from uae.paper import committed
    from uae.paper import render as rendering
    from uae.paper.layouts import items

    is_table = what in items()["tables"]
    if is_table and (width, style) != (None, None):
        raise InputError(f"{what} is a table: --width and --style are for figures")
    if what in items()["figures"] and compact:
        raise InputError(f"{what} is a figure: --compact is for tables")
    if inputs:
        rendered = rendering.render(what, inputs, out, width, style, compact)
        print(f"{_listed(rendered)} in {out}")
        return
    if what == "all":
        if (width, style, compact) != (None, None, False):
            raise InputError("render all: --width, --style and --compact are for one table or figure")
        _render_all(out, *scales.chosen(Path("results"), scale, fill))
        return
    rendering.check_name(what)
    scale, filler, said = scales.chosen(Path("results"), scale, fill)
    results = Path("results") / scale
    found = rendering.records_of(what, results, filler)
    rendered = rendering.render(what, found, out, width, style, compact)
    same = ""
    if (width, style, compact) == (None, None, False):
        same = committed.answer(rendered, results / ("tables" if is_table else "figures"))
    print(f"{_listed(rendered)} in {out}: {said}{same and f'; {same}'}")


def _render_all(out: Path, scale: str, filler: str | None, said: str) -> None:
    from uae import check
    from uae.paper import committed
    from uae.paper import render as rendering

    known, started = check.known(out), time.time()
    rendered = rendering.render_all(Path("results") / scale, filler, out, workers=os.cpu_count() or 1)
    if out.resolve() == (Path("results") / scale).resolve():
        check.keep(out, known, started)
    same = committed.answer(rendered)
    print(f"{len({path.stem for path in rendered})} items in {out}: {said}{same and f'; {same}'}")


def _listed(paths: list[Path]) -> str:
    return ", ".join(path.name for path in paths)


@app.command(
    rich_help_panel=USERS,
    epilog=examples(
        "uae report results/paper --out report.html", "uae report results/preview --out report.html"
    ),
)
def report(
    results: Annotated[Path, typer.Argument(help="The scale's folder, results/<scale>.")],
    out: Out,
    fill: Fill = None,
    captions: Annotated[
        Path | None, typer.Option(help="Folder of captions, <name>.rst. Default: the workflow's.")
    ] = None,
) -> None:
    """Write the report: one self-contained page."""
    from uae.config import ROOT
    from uae.paper import report as reporting

    results = results.absolute()
    name = results.name
    filler = filling_scale(results, fill)
    captions = captions or ROOT / "workflow" / "report"
    count = reporting.write(results, out, name, captions if captions.is_dir() else None, filler)
    filled = f", missing records from {filler}" if filler else ""
    print(f"{out}: the report of {count} record{'s' * (count != 1)}, scale {name}{filled}")


@app.command(
    rich_help_panel=USERS,
    epilog=examples("uae config --scale paper", "uae config --scale reduced --configfile mine.yaml"),
)
def config(
    scale: OfFiles = None,
    configfile: ConfigFiles = None,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON schema of the files instead.")
    ] = False,
    keys: Annotated[bool, typer.Option("--keys", help="Print the meaning of every key instead.")] = False,
) -> None:
    """Check the configuration of a scale and print it."""
    from uae.config import document

    if schema or keys:
        print(json.dumps(document.schema(), indent=1) if schema else document.keys().rstrip())
        return
    print(configured(configfile, scale=scale).model_dump_json(indent=2))
