"""Render one table or figure by name."""

from __future__ import annotations

from pathlib import Path

from uae import records
from uae.errors import InputError
from uae.paper import figures, tables

FIGURES = {"figure5": figures.figure5}


def render(what: str, inputs: list[Path], folder: Path) -> None:
    """Write `what` in all its formats to the folder.

    inputs: for a table the folder of its records, for a figure the files it is drawn from.
    """
    if what in tables.layouts()["tables"]:
        tables.render(what, [record for path in inputs for record in records.load(path)], folder)
    elif what in FIGURES:
        FIGURES[what](inputs, folder)
    else:
        known = ", ".join([*tables.layouts()["tables"], *FIGURES])
        raise InputError(f"nothing to render under the name {what!r}; there are {known}")
