"""Render one table or figure by name, or all of a scale in one go."""

from __future__ import annotations

import difflib
import importlib
import multiprocessing
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from uae import records
from uae.errors import InputError
from uae.paper import filling
from uae.paper.layouts import folders, items, layouts, shows


def render(
    what: str,
    inputs: list[Path],
    folder: Path,
    width: float | None = None,
    style: str | None = None,
    compact: bool = False,
) -> list[Path]:
    """Write `what` in all its formats to the folder; returns the files.

    inputs: for a table its records, or a folder of them; for a figure the files it is drawn from.
    width (inches) and style (a matplotlib style) are a figure's, compact (the paper's own columns) a table's.
    """
    # Imported where needed: pandas and matplotlib take most of a second each.
    if what in layouts()["tables"]:
        from uae.paper import formats

        formats.render(what, [record for path in inputs for record in _read(path)], folder, compact)
        return [folder / f"{what}.{suffix}" for suffix in ("csv", "md", "tex")]
    from uae.paper import figures

    if what not in figures.names():
        raise unknown(what, [*layouts()["tables"], *figures.names()])
    figures.render(what, inputs, folder, width, style)
    return [folder / f"{what}.{suffix}" for suffix in ("pdf", "png", items()["figures"][what]["numbers"])]


def render_all(results: Path, fill: str | None, folder: Path, workers: int) -> list[Path]:
    """Write the tables and figures of a scale to folder/tables and folder/figures; returns the files.

    The workers are forked from a process that has imported what they need, because the imports
    take longer than most items. Raises `InputError` where the scale has no records.
    """
    found: dict[str, list[tuple[str, list[Path]]]] = {"figures": [], "tables": []}  # the longer ones first
    for kind in found:
        for item in items()[kind]:
            try:
                found[kind].append((item, records_of(item, results, fill)))
            except InputError:  # the scale has no records of the item
                continue
    if not any(found.values()):
        raise InputError(f"{results / 'records'}: no records; run the experiments first")
    if found["figures"]:
        importlib.import_module("uae.paper.figures")
    if found["tables"]:
        importlib.import_module("uae.paper.formats")
    method = "fork" if "fork" in multiprocessing.get_all_start_methods() else None
    with ProcessPoolExecutor(workers, multiprocessing.get_context(method)) as pool:
        jobs = [
            pool.submit(render, item, inputs, folder / kind) for kind in found for item, inputs in found[kind]
        ]
        return [path for job in jobs for path in job.result()]


def unknown(what: str, known: Iterable[str]) -> InputError:
    """For a name that no item has: those that there are, and the one that was probably meant."""
    known = list(known)
    close = difflib.get_close_matches(what.lower().replace(" ", ""), known, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    return InputError(f"nothing to render under the name {what!r}; there are {', '.join(known)}{hint}")


def _read(path: Path) -> list[records.Record]:
    return [records.read(path)] if path.is_file() else records.load(path)


def records_of(what: str, results: Path, fill: str | None = None) -> list[Path]:
    """The files that an item is made from among the results of a scale; `fill`: see `uae.paper.filling`."""
    tables, figures = items()["tables"], items()["figures"]
    if what not in tables | figures:
        raise unknown(what, tables | figures)
    field = figures.get(what, {}).get("field")
    found = [
        path
        for kind in folders(what)
        for path in filling.files(results, fill, kind)
        if (what in figures or path.suffix == ".json")
        and shows(what, path)
        and (field is None or records.has(path, field))
    ]
    if not found:
        kinds = ", ".join(str(results / "records" / kind) for kind in folders(what))
        lacking = f" with a {field}" if field else ""
        raise InputError(f"{kinds}: no records{lacking}; run the experiment first")
    return found
