"""Files that are whole or absent: a temporary file in the same folder, fsync, rename."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as _serialize

from uae.errors import BadFile


@contextlib.contextmanager
def atomic(path: str | Path, mode: str = "wb") -> Iterator[IO[Any]]:
    """Open a temporary file that becomes `path` when the block ends, and vanishes when it raises."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
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


def write_text(path: str | Path, text: str) -> None:
    with atomic(path, "w") as file:
        file.write(text)


def write_tensors(path: str | Path, arrays: dict[str, np.ndarray], metadata: dict[str, Any]) -> None:
    """Write a safetensors file. The same content gives the same bytes.

    The metadata are one sorted JSON text: safetensors writes several entries in random order.
    """
    text = {"metadata": json.dumps(metadata, sort_keys=True)}
    arrays = {key: np.ascontiguousarray(value) for key, value in arrays.items()}
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
    missing = [key for key in required if key not in arrays]
    if missing:
        raise BadFile(f"{path}: lacks {', '.join(missing)}; it has {', '.join(arrays) or 'nothing'}")
    return arrays, metadata
