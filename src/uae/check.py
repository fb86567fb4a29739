"""Whether the files of a scale are whole: what was truncated, emptied or changed."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path

from uae import records, storage
from uae.errors import BadFile


def damaged(results: Path, prepared: Path = Path("data/prepared")) -> Iterator[tuple[Path, str]]:
    """The files that are not as they were written, and what is wrong with each.

    Tensors and records hold a checksum of themselves; those of tables, figures and report are in
    metadata.json.gz, which a complete run leaves behind.
    """
    for path in sorted([*results.rglob("*.safetensors"), *prepared.glob("*.safetensors")]):
        try:
            storage.read_tensors(path)
        except BadFile as error:
            yield path, _reason(path, error)
    for path in sorted((results / "records").rglob("*.json")):
        try:
            records.read(path)
        except BadFile as error:
            yield path, _reason(path, error)
    packed = results / "metadata.json.gz"
    if not packed.exists():
        return
    try:
        expected = json.loads(gzip.decompress(packed.read_bytes()))["rendered"]
    except (OSError, EOFError, ValueError, KeyError, zlib.error) as error:
        yield packed, f"not what a run left ({error})"
        return
    for name, checksum in expected.items():
        path = results.joinpath(*Path(name).parts[2:])  # without results/<scale>
        if path.exists() and storage.digest(path) != checksum:
            yield path, "not as it was rendered"


def _reason(path: Path, error: BadFile) -> str:
    return str(error).removeprefix(f"{path}: ").partition("; delete")[0]
