"""Whether two runs of a scale measured the same: python tests/compare_records.py results/old results/new

Compares every field of every record, and the images and curves of the figures, but for what tells where and
how long a run was, and the digests of files. Exits with 1 where something differs, with a line for each.
`--ignore GLOB` leaves out more fields, such as "settings.training.*".
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open

# Fields as their keys joined by dots; `file` and `inputs` came with `uae.identity`.
IGNORED = (
    "checksum",
    "file",
    "inputs*",
    "content",
    "provenance.*.commit",
    "provenance.*.peak_memory_mib",
    "provenance.*.seconds",
)


def fields(content: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of nested dictionaries with their keys; of a path the name alone."""
    if isinstance(content, dict) and content:
        for name, value in content.items():
            yield from fields(value, f"{key}.{name}" if key else name)
    else:
        yield key, Path(content).name if isinstance(content, str) and content.startswith("/") else content


def read(path: Path) -> dict[str, Any]:
    """The fields of a record, or of a figure's file: its metadata's, and each array."""
    if path.suffix == ".json":
        return dict(fields(json.loads(path.read_text(encoding="utf-8"))))
    with safe_open(path, framework="numpy") as file:
        arrays = {f"array {name}": file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return dict(fields(json.loads(file.metadata()["metadata"]))) | arrays


def same(old: Any, new: Any) -> bool:
    if isinstance(old, np.ndarray) and isinstance(new, np.ndarray):
        return old.dtype == new.dtype and old.shape == new.shape and old.tobytes() == new.tobytes()
    return type(old) is type(new) and old == new


def differences(old: Path, new: Path, ignored: tuple[str, ...] = IGNORED) -> Iterator[str]:
    """A line for each file or field that two folders of records do not share."""
    there = [
        {path.relative_to(folder) for path in folder.rglob("*") if path.suffix in (".json", ".safetensors")}
        for folder in (old, new)
    ]
    yield from (f"{name}: only in {old}" for name in sorted(there[0] - there[1]))
    yield from (f"{name}: only in {new}" for name in sorted(there[1] - there[0]))
    for name in sorted(there[0] & there[1]):
        one, other = read(old / name), read(new / name)
        for key in sorted(one.keys() | other.keys()):
            if any(fnmatch.fnmatchcase(key, pattern) for pattern in ignored):
                continue
            values = [found.get(key, "absent") for found in (one, other)]
            if not same(*values):
                shown = ("other numbers",) if isinstance(values[0], np.ndarray) else values
                yield f"{name}: {key}: {' -> '.join(map(str, shown))}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--ignore", action="append", default=[], metavar="GLOB", help="fields left out, too")
    given = parser.parse_args()
    folders = [folder / "records" for folder in (given.old, given.new)]
    for folder in folders:
        if not any(folder.rglob("*.json")):
            parser.error(f"{folder}: no records; give two folders of a scale, such as results/preview")
    found = list(differences(*folders, (*IGNORED, *given.ignore)))
    print("\n".join(found) or "the records are the same")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
