"""Replace records that a scale lacks by those of another scale, so that a table stays one table.

A scale's own records come first. For each experiment, data set and model, the missing methods are taken
from the other scale, and those of which it has more seeds. Its `original` and `matched` come with them: its
data differ, and methods are compared within one variant of the data. Records of the same variant are left
out, because they would be pooled with the scale's. Images and curves have no method; they are taken if the
scale has none.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from uae import records
from uae.errors import InputError
from uae.paper.layouts import items

COMPARED_WITH = ("original", "matched")
Row = tuple[str, ...]  # an experiment's folder, a data set and a model


def own(results: Path, kind: str = "") -> list[Path]:
    """The records, images and curves of a scale, results/<scale>, or of one folder of its records."""
    found = (results / "records" / kind).rglob("*")
    return sorted(path for path in found if path.suffix in (".json", ".safetensors"))


def filled(results: Path, fill: str | None, kind: str = "", planned: Iterable[str | Path] = ()) -> list[Path]:
    """The files of the scale `fill` that replace missing ones; empty if `fill` is None.

    planned: files that the scale will have besides the existing ones.
    """
    if fill is None:
        return []
    found, there, other = [], own(results, kind), results.parent / fill
    present, have = _by_row(results, there), _by_row(results, [*there, *map(Path, planned)])
    for row, methods in _by_row(other, own(other, kind)).items():
        ours = have.get(row, {})
        lacking = {
            method
            for method, paths in methods.items()
            if method not in ours
            or (method not in (None, *COMPARED_WITH) and _seeds(paths) > _seeds(ours[method]))
        }
        mine = (path for paths in present.get(row, {}).values() for path in paths)
        variants = {records.field(path, "variant") for path in mine} - {None}
        for method, paths in methods.items():
            if method in lacking or (lacking and method in COMPARED_WITH):
                found += [path for path in paths if records.field(path, "variant") not in variants]
    return sorted(found)


def _seeds(paths: Iterable[Path]) -> int:
    """The number of seeds of a method's records, which are named seed<S>[-draw<N>].json."""
    return len({path.stem.partition("-")[0] for path in paths})


def files(results: Path, fill: str | None, kind: str = "") -> list[Path]:
    """The files from which a scale's tables, figures and claims are made."""
    return own(results, kind) + filled(results, fill, kind)


def load(results: Path, fill: str | None, kind: str = "") -> dict[Path, records.Record]:
    """The records among these files, by their paths below records/; those of `fill` as <kind>/<fill>/…

    Raises `InputError` if there are none, and `BadFile` naming a file that is not a record.
    """
    found = {}
    for path in files(results, fill, kind):
        if path.suffix == ".json":
            mine = path.is_relative_to(results / "records")
            name, *rest = path.relative_to(
                (results if mine else results.parent / str(fill)) / "records"
            ).parts
            found[Path(name, *([] if mine else [str(fill)]), *rest)] = records.read(path)
    if not found:
        raise InputError(f"{results / 'records' / kind}: no records; run the experiments, or put them there")
    return found


def of_table(found: dict[Path, records.Record], table: str) -> dict[Path, records.Record]:
    """The records of a table's folder, because two folders can have records of one method."""
    return {path: record for path, record in found.items() if path.parts[0] == items()["tables"][table]}


def _by_row(results: Path, paths: Iterable[Path]) -> dict[Row, dict[str | None, list[Path]]]:
    """Files by row and method. Images and curves without a method have None."""
    found: dict[Row, dict[str | None, list[Path]]] = {}
    for path in paths:
        *folders, _ = path.relative_to(results / "records").parts
        method = folders[3] if len(folders) > 3 else None
        found.setdefault(tuple(folders[:3]), {}).setdefault(method, []).append(path)
    return found
