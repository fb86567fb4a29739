"""`uae check`: find damaged files."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from uae.cli.common import USERS, app, examples, say
from uae.errors import InputError


@app.command(
    rich_help_panel=USERS,
    epilog=examples("uae check", "uae check --scale paper", "uae check --scale reduced --delete"),
)
def check(
    scale: Annotated[
        str, typer.Option(help="The scale, or its file. Its results are in results/<scale>.")
    ] = "preview",
    results: Annotated[Path, typer.Option(help="The folder of all scales.")] = Path("results"),
    delete: Annotated[
        bool, typer.Option("--delete", help="Delete damaged files; the next run makes them again.")
    ] = False,
) -> None:
    """Find files that were truncated, emptied, changed or exchanged.

    Compares checksums, the identity and inputs that each file states, tables and figures with the last
    complete run, raw data with the catalogue, and settings with the configuration.
    """
    from uae import check as checks
    from uae.config.files import scale_name

    name, data = scale_name(scale), Path("data")
    folder = results / name
    if not folder.is_dir() or Path(name).name != name or name in ("", ".."):
        raise InputError(f"{folder}: no such folder; run the experiments, or give --scale or --results")
    report = checks.check(folder, data, checks.plan_of(scale))
    deleted, left = [], []
    for path, reason in report.damaged.items():
        say(f"{path}: {reason}")
        ours = checks.deletable(path, [folder, data / "prepared"])
        if delete and ours and path not in report.unreadable:
            path.unlink(missing_ok=True)
            deleted.append(path)
        else:
            left.append(path)
    for line in checks.lines(report):
        say(line)
    if deleted:
        made = [str(path) for path in deleted if path.name not in checks.BY_NO_RULE]
        again = shlex.join(["snakemake", "--cores", "all", *made, "--config", f"scale={scale}"])
        say(f"{len(deleted)} deleted" + f"; to make them again: {again}" * (results == Path("results")))
    if left and delete:
        say(f"{len(left)} damaged and not deleted: unreadable, or outside {folder} and {data / 'prepared'}")
    elif left:
        options = ["--scale", scale] + ["--results", str(results)] * (results != Path("results"))
        say(f"{len(left)} damaged; {shlex.join(['uae', 'check', *options, '--delete'])} removes them")
    if left:
        raise typer.Exit(1)
    say(f"{report.whole} files are whole")
