"""Raw and prepared data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from uae.cli.common import STAGES, Out, app


@app.command(rich_help_panel=STAGES)
def fetch(
    data: Annotated[str, typer.Argument(help="A data set of the catalogue.")],
    name: Annotated[str, typer.Argument(help="One of its files.")],
    out: Out,
    mirror: Annotated[
        str | None, typer.Option(envvar="UAE_DATA_MIRROR", help="Folder or URL that is tried first.")
    ] = None,
) -> None:
    """Download one raw file, from the mirror or from upstream, and check it."""
    from uae.data import fetch as fetching

    fetching.fetch(data, name, out, mirror)


@app.command(rich_help_panel=STAGES)
def prepare(
    data: Annotated[str, typer.Argument(help="A data name: mnist, mnist@10000, mnist-5k, …")],
    out: Out,
    raw: Annotated[Path, typer.Option(help="The folder of raw files.")] = Path("data/raw"),
) -> None:
    """Turn the raw files of a data set into one checked safetensors file."""
    from uae.data import catalogue, prepared

    prepared.prepare(data, raw / catalogue.folder(data), out)
