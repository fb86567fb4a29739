"""The items, the layouts of tables, the titles of figures, and the records that a table shows."""

from __future__ import annotations

import functools
from collections.abc import Callable, Container, Iterable
from pathlib import Path
from typing import Any

from uae import records, shipped


@functools.cache
def layouts() -> dict[str, Any]:
    return _read("tables.yaml")


@functools.cache
def items() -> dict[str, Any]:
    return _read("items.yaml")


def folders(item: str) -> list[str]:
    """The folders of records that a table or figure is made from."""
    tables, figures = items()["tables"], items()["figures"]
    found = tables[item] if item in tables else figures[item]["records"]
    return [found] if isinstance(found, str) else found


@functools.cache
def pictures() -> dict[str, dict[str, str]]:
    """The title and the alternative text of each figure."""
    return _read("figures.yaml")


def _read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = shipped.read(Path(__file__).with_name(name))
    return found


def wanted(table: str, experiment: str, dataset: str, model: str, method: str) -> bool:
    """Whether a table shows a record: it must match `experiment` and `where`, but not `except`.

    Their keys are a record's fields, and `row`: its dataset/model.
    """
    layout = layouts()["tables"][table]
    fields = {"dataset": dataset, "model": model, "method": method, "row": f"{dataset}/{model}"}
    return (
        experiment == layout.get("experiment", "reconstruction")
        and all(fields[key] in names for key, names in layout.get("where", {}).items())
        and not any(fields[key] in names for key, names in layout.get("except", {}).items())
    )


def shown_files(
    item: str, files: Callable[[str], Iterable[str | Path]], planned: Container[str] = ()
) -> list[str | Path]:
    """Those of `files(folder of records)` that an item is made from. Planned ones will have its field."""
    figure = items()["figures"].get(item, {})
    field = figure.get("field")
    return [
        path
        for kind in folders(item)
        for path in files(kind)
        if (figure or Path(path).suffix == ".json")
        and shows(item, path)
        and (field is None or str(path) in planned or records.field(Path(path), field) is not None)
    ]


def shows(item: str, path: str | Path) -> bool:
    """Whether a table or figure shows a file of records, by the file's path in results/<scale>/records."""
    kind, *row, _ = Path(path).as_posix().rpartition("/records/")[2].split("/")
    if item in items()["tables"]:
        experiment = layouts()["tables"][item].get("experiment", "reconstruction")
        return kind == items()["tables"][item] and len(row) == 3 and wanted(item, experiment, *row)
    figure = items()["figures"][item]
    return kind in folders(item) and ("models" not in figure or row[1] in figure["models"])
