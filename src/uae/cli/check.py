"""Whether files are whole."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from uae.cli.common import USERS, app, console
from uae.errors import InputError


@app.command(rich_help_panel=USERS)
def check(
    scale: Annotated[str, typer.Option(help="Whose files: results/<scale>.")] = "preview",
    results: Annotated[Path, typer.Option(help="The folder of all scales.")] = Path("results"),
    delete: Annotated[
        bool, typer.Option("--delete", help="Delete what is damaged: it is made again.")
    ] = False,
) -> None:
    """Look for files that were truncated, emptied or changed, and name them."""
    from uae.check import damaged

    folder = results / scale
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; run the experiments, or give --scale or --results")
    found = list(damaged(folder))
    for path, reason in found:
        console.print(f"{path}: {reason}", markup=False, highlight=False, soft_wrap=True)
        if delete:
            path.unlink()
    if found and delete:
        console.print(f"{len(found)} deleted; make them again: snakemake --cores all", end=" ")
        paths = (path for path, _ in found)
        console.print(*paths, f"--config scale={scale}", markup=False, highlight=False, soft_wrap=True)
    elif found:
        console.print(f"{len(found)} damaged; uae check --scale {scale} --delete removes them")
        raise typer.Exit(1)
    else:
        console.print("every file is as it was written")
