"""Render one table or figure by name, or all of a scale in one go."""

from __future__ import annotations

import difflib
import importlib
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from uae import records
from uae.errors import InputError
from uae.paper import filling
from uae.paper.layouts import folders, items, layouts, shown_files


def render(
    what: str,
    inputs: list[Path],
    folder: Path,
    width: float | None = None,
    style: str | None = None,
    compact: bool = False,
) -> list[Path]:
    """Write `what` in all its formats to the folder; returns the files.

    inputs: for a table its records, for a figure the files it is drawn from; or folders of them.
    width (inches) and style (a matplotlib style) are a figure's, compact (the paper's own columns) a table's.
    """
    # Imported where needed: pandas and matplotlib take most of a second each.
    check_name(what)
    files = [file for path in inputs for file in _files(path)]
    if what in layouts()["tables"]:
        from uae.paper import formats

        found = [records.read(file) for file in files if file.suffix == ".json"]
        if not found:
            raise InputError(f"{', '.join(map(str, inputs))}: no records (.json)")
        formats.render(what, found, folder, compact)
        return [folder / f"{what}.{suffix}" for suffix in ("csv", "md", "tex")]
    from uae.paper import figures

    figures.render(what, files, folder, width, style)
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


def check_name(what: str) -> None:
    """Raise InputError if no item has the name. It lists the names and the one that was probably meant."""
    known = [*items()["tables"], *items()["figures"]]
    if what not in known:
        close = difflib.get_close_matches(what.lower().replace(" ", ""), known, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise InputError(f"nothing to render under the name {what!r}; there are {', '.join(known)}{hint}")


def _files(path: Path) -> list[Path]:
    """A file, or the records in a folder and the arrays beside them."""
    kinds = (".json", ".safetensors")
    if path.is_file():
        if path.suffix not in kinds:
            raise InputError(f"{path}: not a record (.json) or its arrays (.safetensors)")
        return [path]
    found = sorted(file for file in path.rglob("*") if file.suffix in kinds)
    if not found:
        raise InputError(f"{path}: no records; run the experiments, or put the records there")
    return found


def records_of(what: str, results: Path, fill: str | None = None) -> list[Path]:
    """The files that an item is made from among the results of a scale; `fill`: see `uae.paper.filling`."""
    check_name(what)
    found = [Path(path) for path in shown_files(what, lambda kind: filling.files(results, fill, kind))]
    if not found:
        field = items()["figures"].get(what, {}).get("field")
        kinds = ", ".join(str(results / "records" / kind) for kind in folders(what))
        lacking = f" with a {field}" if field else ""
        raise InputError(f"{kinds}: no records{lacking}; run the experiment first")
    return found
