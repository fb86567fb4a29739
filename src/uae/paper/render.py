"""Render one table or figure by name."""

from __future__ import annotations

from pathlib import Path

from uae import records
from uae.errors import InputError
from uae.paper.layouts import items, layouts


def render(
    what: str, inputs: list[Path], folder: Path, width: float | None = None, style: str | None = None
) -> None:
    """Write `what` in all its formats to the folder.

    inputs: for a table the folder of its records, for a figure the files it is drawn from.
    width (inches) and style (a matplotlib style) are a figure's.
    """
    # Imported where needed: pandas and matplotlib take most of a second each.
    if what in layouts()["tables"]:
        from uae.paper import formats

        formats.render(what, [record for path in inputs for record in records.load(path)], folder)
        return
    from uae.paper import figures

    if what not in figures.names():
        known = ", ".join([*layouts()["tables"], *figures.names()])
        raise InputError(f"nothing to render under the name {what!r}; there are {known}")
    figures.render(what, inputs, folder, width, style)


def records_of(what: str, results: Path) -> list[Path]:
    """What an item is made from among the results of a scale: a folder for a table, files for a figure."""
    known = items()
    if what in known["tables"]:
        return [results / "records" / known["tables"][what]]
    if what not in known["figures"]:
        names = ", ".join([*known["tables"], *known["figures"]])
        raise InputError(f"nothing to render under the name {what!r}; there are {names}")
    folder = results / "records" / known["figures"][what]["records"]
    found = sorted(path for path in folder.rglob("*") if path.suffix in (".json", ".safetensors"))
    if not found:
        raise InputError(f"{folder}: no records; run the experiment first")
    return found
