"""Files that are whole or absent: a temporary file in the same folder, fsync, rename."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as _serialize

from uae import identity
from uae.errors import BadFile


@contextlib.contextmanager
def atomic(path: str | Path, mode: str = "wb") -> Iterator[IO[Any]]:
    """Open a temporary file that becomes `path` when the block ends, and vanishes when it raises."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # One name for each target: what a killed process left is overwritten by the next that writes it.
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open(mode, encoding=None if "b" in mode else "utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise OSError(error.errno, f"cannot write {path}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


CHECKSUM = "checksum"


def _json(metadata: dict[str, Any]) -> str:
    """Sorted JSON text; numbers of NumPy and PyTorch are written as numbers."""

    def number(value: Any) -> Any:
        if hasattr(value, "item"):
            return value.item()
        raise TypeError(f"metadata: {value!r} is neither a number nor a text")

    return json.dumps(metadata, sort_keys=True, default=number)


def _checksum(arrays: dict[str, np.ndarray], metadata: dict[str, Any]) -> str:
    """SHA-256 of names, types, shapes, numbers and metadata."""
    content = hashlib.sha256(_json(metadata).encode())
    for key in sorted(arrays):
        content.update(f"{key} {arrays[key].dtype} {arrays[key].shape}".encode())
        content.update(np.ascontiguousarray(arrays[key]).view(np.uint8).data if arrays[key].size else b"")
    return content.hexdigest()


def digest(path: str | Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_text(path: str | Path, text: str) -> None:
    with atomic(path, "w") as file:
        file.write(text)


def write_tensors(path: str | Path, arrays: dict[str, np.ndarray], metadata: dict[str, Any]) -> None:
    """Write a safetensors file. The same content gives the same bytes.

    The metadata are one sorted JSON text: safetensors writes several entries in random order. They hold a
    checksum of everything, so that reading notices a flipped bit, and in the workflow's own folders what
    the file is (`uae.identity`).
    """
    arrays = {key: np.ascontiguousarray(value) for key, value in arrays.items()}
    if place := identity.place(path):
        metadata = metadata | {"file": place, "content": _checksum(arrays, {})}
    metadata = metadata | {CHECKSUM: _checksum(arrays, metadata)}
    text = {"metadata": _json(metadata)}
    with atomic(path) as file:
        file.write(_serialize(arrays, text))


def read_tensors(path: str | Path, *required: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays and metadata of a safetensors file. Raises BadFile naming what is wrong."""
    path = Path(path)
    if not path.exists():
        raise BadFile(f"{path}: no such file")
    try:
        with safe_open(path, framework="numpy") as file:
            names = file.keys()
            arrays = {key: file.get_tensor(key) for key in names}
            metadata = json.loads((file.metadata() or {}).get("metadata", "{}"))
    except (SafetensorError, json.JSONDecodeError) as error:
        raise BadFile(
            f"{path}: not a whole safetensors file ({error}); delete it to have it rebuilt"
        ) from None
    expected = metadata.pop(CHECKSUM, None)  # absent from files of others
    if expected is not None and expected != _checksum(arrays, metadata):
        raise BadFile(f"{path}: the content does not have the checksum in its metadata; delete it")
    if expected is None and identity.place(path):
        raise BadFile(f"{path}: has no checksum; delete it to have it made again")
    identity.verify(path, metadata)
    missing = [key for key in required if key not in arrays]
    if missing:
        raise BadFile(f"{path}: lacks {', '.join(missing)}; it has {', '.join(arrays) or 'nothing'}")
    return arrays, metadata
