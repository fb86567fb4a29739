"""Tables, figures, the report and the configuration."""

from __future__ import annotations

import json
from functools import reduce
from pathlib import Path
from typing import Annotated

import typer

from uae.cli.common import USERS, Fill, Out, app, filling_scale
from uae.errors import InputError


@app.command(rich_help_panel=USERS)
def render(
    what: Annotated[str, typer.Argument(help="A table or a figure: table4, figure5, …")],
    inputs: Annotated[
        list[Path] | None,
        typer.Argument(help="A table's records or their folder, a figure's files; else those of the scale."),
    ] = None,
    out: Annotated[Path, typer.Option(help="The folder to write to.")] = Path(),
    scale: Annotated[str, typer.Option(help="Whose records, where none are named.")] = "paper",
    fill: Fill = None,
    width: Annotated[float | None, typer.Option(help="Width of a figure in inches.")] = None,
    style: Annotated[str | None, typer.Option(help="A matplotlib style, or its file, for a figure.")] = None,
) -> None:
    """Render a table or a figure in all its formats."""
    from uae.paper import render as rendering
    from uae.paper.layouts import layouts

    if what in layouts()["tables"] and (width, style) != (None, None):
        raise InputError(f"{what} is a table: --width and --style are for figures")
    results = Path("results") / scale
    inputs = inputs or rendering.records_of(what, results, filling_scale(results, fill))
    rendering.render(what, inputs, out, width, style)


@app.command(rich_help_panel=USERS)
def report(
    results: Annotated[Path, typer.Argument(help="The scale's folder: its records and figures.")],
    out: Out,
    scale: str = "preview",
    fill: Fill = None,
    captions: Annotated[Path | None, typer.Option(help="Folder of captions, <name>.rst.")] = None,
) -> None:
    """Write the report: one self-contained page."""
    from uae.paper import report as reporting

    reporting.write(results, out, scale, captions, filling_scale(results, fill))


@app.command(rich_help_panel=USERS)
def config(
    scale: Annotated[
        str | None, typer.Option(help="preview, reduced, paper, or a scale file; else what the files say.")
    ] = None,
    configfile: Annotated[
        list[Path] | None,
        typer.Option(help="Settings on top of the scale's; given several times, the later win."),
    ] = None,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON schema of the files instead.")
    ] = False,
    keys: Annotated[bool, typer.Option("--keys", help="Print the meaning of every key instead.")] = False,
) -> None:
    """Print the configuration of a scale, checked."""
    from uae import config as configuration
    from uae.config import document

    if schema or keys:
        print(json.dumps(document.schema(), indent=1) if schema else document.keys().rstrip())
        return

    files = configfile or []
    settings = reduce(configuration.merge, map(configuration.read_yaml, files), {})
    if scale is not None:
        settings["scale"] = scale
    print(configuration.load(settings, files).model_dump_json(indent=2))
