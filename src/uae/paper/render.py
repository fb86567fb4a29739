"""Render one table or figure by name."""

from __future__ import annotations

from pathlib import Path

from uae import records
from uae.errors import InputError
from uae.paper import filling
from uae.paper.layouts import items, layouts


def render(
    what: str, inputs: list[Path], folder: Path, width: float | None = None, style: str | None = None
) -> None:
    """Write `what` in all its formats to the folder.

    inputs: for a table its records, or a folder of them; for a figure the files it is drawn from.
    width (inches) and style (a matplotlib style) are a figure's.
    """
    # Imported where needed: pandas and matplotlib take most of a second each.
    if what in layouts()["tables"]:
        from uae.paper import formats

        formats.render(what, [record for path in inputs for record in _read(path)], folder)
        return
    from uae.paper import figures

    if what not in figures.names():
        known = ", ".join([*layouts()["tables"], *figures.names()])
        raise InputError(f"nothing to render under the name {what!r}; there are {known}")
    figures.render(what, inputs, folder, width, style)


def _read(path: Path) -> list[records.Record]:
    return [records.read(path)] if path.is_file() else records.load(path)


def records_of(what: str, results: Path, fill: str | None = None) -> list[Path]:
    """The files that an item is made from among the results of a scale; `fill`: see `uae.paper.filling`."""
    tables, figures = items()["tables"], items()["figures"]
    if what not in tables | figures:
        raise InputError(
            f"nothing to render under the name {what!r}; there are {', '.join(tables | figures)}"
        )
    kind = tables[what] if what in tables else figures[what]["records"]
    found = [path for path in filling.files(results, fill, kind) if what in figures or path.suffix == ".json"]
    if not found:
        raise InputError(f"{results / 'records' / kind}: no records; run the experiment first")
    return found
