"""Render one table or figure by name."""

from __future__ import annotations

from pathlib import Path

from uae import records
from uae.errors import InputError
from uae.paper import figures, tables


def render(
    what: str, inputs: list[Path], folder: Path, width: float | None = None, style: str | None = None
) -> None:
    """Write `what` in all its formats to the folder.

    inputs: for a table the folder of its records, for a figure the files it is drawn from.
    width (inches) and style (a matplotlib style) are a figure's.
    """
    if what in tables.layouts()["tables"]:
        tables.render(what, [record for path in inputs for record in records.load(path)], folder)
    elif what in figures.names():
        figures.render(what, inputs, folder, width, style)
    else:
        known = ", ".join([*tables.layouts()["tables"], *figures.names()])
        raise InputError(f"nothing to render under the name {what!r}; there are {known}")
