"""The app, options and progress bar that the commands share."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import reduce
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from uae import identity
from uae.errors import InputError

if TYPE_CHECKING:
    from uae.config import Config

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    invoke_without_command=True,
    help="Unsupervised adversarial examples: the method, and the stages of the reproduction.",
)
if not re.fullmatch("[1-9][0-9]{1,2}", os.environ.get("COLUMNS", "80"), re.ASCII):  # 0: no terminal
    del os.environ["COLUMNS"]
console = Console(stderr=True)
SECONDS_OF_SILENCE = 300  # the most seconds between two lines in a job's log
# The panels of `uae --help`
OWN, USERS, STAGES = "Your model and data", "The reproduction", "Called by the workflow"


def examples(*commands: str) -> str:
    """The examples at the end of a command's help."""
    return "\n\n".join(["Examples:", *commands])


def parsed(text: str) -> str:
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        raise typer.BadParameter(f"not JSON: {error}") from None
    return text


def _made(text: str) -> str:
    identity.settings.update(json.loads(parsed(text)))
    return text


OfFiles = Annotated[
    str | None,
    typer.Option(help="preview, reduced, paper, or a scale file. Default: `scale` of config/config.yaml."),
]
ConfigFiles = Annotated[
    list[Path] | None,
    typer.Option("--configfile", help="Settings that override the scale's. The last of several wins."),
]


@app.callback()
def version(
    ctx: typer.Context,
    show: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False,
) -> None:
    if show:
        typer.echo(metadata.version("uae-repro"))
        raise typer.Exit


Made = Annotated[
    str,
    typer.Option(
        help="JSON: by folder, the hash of its files' settings. Files made with other settings are refused.",
        callback=_made,
    ),
]
Device = Annotated[str, typer.Option(help="cpu or cuda.")]
Fill = Annotated[
    str | None,
    typer.Option(help="The scale whose records replace missing ones, or none. Default: set by the scale."),
]
Out = Annotated[Path, typer.Option(help="The file to write.", dir_okay=False)]


def configured_fill(scale: str) -> str | None:
    """The scale whose records replace missing ones, according to the configuration of a scale or its file."""
    from uae import config

    known = config.files.scale_name(scale) != scale or scale in config.files.scales()
    return config.load({"scale": scale}).fill if known else None


def configured(files: list[Path] | None, **over: str | None) -> Config:
    """The configuration of `--configfile` files, of which the last wins, below the options that are given."""
    from uae import config

    settings: dict[str, Any] = reduce(config.merge, map(config.read_yaml, files or []), {})
    settings |= {key: value for key, value in over.items() if value is not None}
    return config.load(settings, files or [])


def say(line: str) -> None:
    """A line for the user, on standard error. Never wrapped: a path or command in a log can be copied."""
    console.print(line, markup=False, highlight=False, soft_wrap=True)


def filling_scale(results: Path, given: str | None, scale: str | None = None) -> str | None:
    """The scale whose records replace those that results/<scale> lacks: `given` or the configured one.

    None, with a line for the user, if the configured one has no records.  scale: the file of a user's scale.
    """
    if given == "none":
        return None
    found = configured_fill(scale or results.name) if given is None else given
    if found is None or (results.parent / found / "records").is_dir():
        return found
    if given is not None:
        raise InputError(f"--fill {given}: no records under {results.parent / given}")
    say(f"no records under {results.parent / found}: missing ones are not replaced")
    return None


@contextmanager
def bar(title: str) -> Iterator[Any]:
    """Show a progress bar on a terminal. In a log file, write a line at each quarter and every 5 minutes."""
    if not console.is_terminal:
        quarters: set[int] = set()
        last, end, said = 0, 0, time.monotonic()

        def log(done: int, total: int, note: str) -> None:
            nonlocal last, end, said
            if done < last or total != end:  # the job began its next training, try or attack
                quarters.clear()
            last, end = done, total
            silent = time.monotonic() - said > SECONDS_OF_SILENCE
            if (quarter := 4 * done // total) not in quarters or done == total or silent:
                quarters.add(quarter)
                said = time.monotonic()
                console.print(f"{title}: {done}/{total} {note}")

        yield log
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, TextColumn("{task.fields[note]}"), console=console) as progress:
        task = progress.add_task(title, total=None, note="")
        yield lambda done, total, note: progress.update(task, completed=done, total=total, note=note)
