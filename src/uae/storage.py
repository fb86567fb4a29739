"""Write files that are whole or absent: a temporary file in the same folder, fsync, rename."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save as _serialize

from uae import identity, locks
from uae.errors import BadFile, Unreadable


@contextlib.contextmanager
def atomic(path: str | Path, mode: str = "wb") -> Iterator[IO[Any]]:
    """Open a temporary file that becomes `path` when the block ends, and is deleted when the block raises.

    A replaced file keeps its permissions. A link is replaced, not followed, because DVC links to its cache.
    """
    path = Path(path)
    temporary = None
    try:
        if path.exists() and not path.is_file():
            raise OSError(errno.EINVAL, "a folder, device or pipe is there")
        path.parent.mkdir(parents=True, exist_ok=True)
        _clean(path)
        descriptor, temporary = _temporary(path)
        with os.fdopen(descriptor, mode, encoding=None if "b" in mode else "utf-8") as file:
            if path.exists() and not path.is_symlink():
                os.fchmod(descriptor, path.stat().st_mode & 0o777 | 0o200)
            yield file
            file.flush()
            os.fsync(descriptor)
            temporary.replace(path)  # while it is locked, so that nobody takes it for a killed process's file
    except OSError as error:
        raise OSError(error.errno, f"cannot write {path}: {error.strerror or error}") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def permissions_of(path: Path) -> Iterator[None]:
    """Files that the block creates are no more readable for others than `path`, where that exists.

    It sets the umask of the process, and restores it.
    """
    allowed = path.stat().st_mode if path.exists() else 0o777
    before = os.umask(0)
    os.umask(before | ~allowed & 0o066)  # the owner's bits stay, and those that open folders
    try:
        yield
    finally:
        os.umask(before)


def _stem(path: Path) -> str:
    """The start of a temporary file's name; the system allows names of 255 bytes."""
    return "." + path.name.encode(errors="surrogateescape")[:200].decode(errors="ignore")


def _temporary(path: Path) -> tuple[int, Path]:
    """A new file beside `path`, open and locked; one for each writer."""
    while True:
        temporary = path.with_name(f"{_stem(path)}.{secrets.token_hex(4)}.tmp")
        descriptor = os.open(temporary, locks.FLAGS | os.O_EXCL, 0o666)
        locks.lock(descriptor, wait=True)
        if locks.there(descriptor, temporary):
            return descriptor, temporary
        os.close(descriptor)  # another writer deleted it before it was locked


def _clean(path: Path) -> None:
    """Delete the temporary files that killed writers of `path` left. These files are not locked."""
    name = re.compile(re.escape(_stem(path)) + r"\.[0-9a-f]{8}\.tmp")
    for left in [Path(entry) for entry in os.scandir(path.parent) if name.fullmatch(entry.name)]:
        with contextlib.suppress(OSError):  # it is gone, or belongs to another user
            descriptor = os.open(left, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                if locks.lock(descriptor):
                    left.unlink()
            finally:
                os.close(descriptor)


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
    """The SHA-256 of a file, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_text(path: str | Path, text: str) -> None:
    with atomic(path, "w") as file:
        file.write(text)


def write_tensors(path: str | Path, arrays: dict[str, np.ndarray], metadata: dict[str, Any]) -> None:
    """Write a safetensors file. The same content gives the same bytes.

    The metadata are one sorted JSON text, because safetensors writes several entries in random order. They
    hold a checksum of everything, so that reading detects a flipped bit. In the workflow's folders they also
    hold the file's identity (`uae.identity`).
    """
    arrays = {key: np.ascontiguousarray(value) for key, value in arrays.items()}
    if identity.at_home(path):
        metadata = metadata | {"file": identity.place(path), "content": _checksum(arrays, {})}
    metadata = metadata | {CHECKSUM: _checksum(arrays, metadata)}
    text = {"metadata": _json(metadata)}
    with atomic(path) as file:
        file.write(_serialize(arrays, text))


def check_progress(path: Path, metadata: Mapping[str, Any]) -> None:
    """Raise ValueError if a file with these metadata may not be replaced by a run's progress.

    A killed run may leave half a file, so anything is replaced that is named as such: `*.partial`.
    """
    if path.suffix != ".partial" and not {"tag", "seconds"} <= metadata.keys():
        raise ValueError(
            f"{path}: is not the progress of an earlier run, and a new run would replace it: give resume "
            "another name, or delete the file"
        )


def read_tensors(path: str | Path, *required: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read the arrays and metadata of a safetensors file. Raises BadFile naming the fault."""
    path = Path(path)
    if not path.is_file():  # opening a pipe would wait for its writer
        raise BadFile(f"{path}: not a file" if path.exists() else f"{path}: no such file")
    again = "; delete it to have it made again" if identity.at_home(path) else ""
    try:
        path.open("rb").close()  # safe_open calls a file without permission absent
    except OSError as error:
        raise Unreadable(f"{path}: {error.strerror}") from None
    try:
        with safe_open(path, framework="numpy") as file:
            names = file.keys()
            arrays = {key: file.get_tensor(key) for key in names}
            metadata = json.loads((file.metadata() or {}).get("metadata", "{}"))
        if not isinstance(metadata, dict):
            raise TypeError("its metadata are not a table")
    except Exception as error:  # from the header's parser, or for types that NumPy lacks
        raise BadFile(f"{path}: not a whole safetensors file ({error}){again}") from None
    expected = metadata.pop(CHECKSUM, None)  # foreign files have none
    if expected is not None and expected != _checksum(arrays, metadata):
        raise BadFile(f"{path}: the content does not have the checksum in its metadata{again}")
    if expected is None and again:
        raise BadFile(f"{path}: has no checksum{again}")
    identity.verify(path, metadata)
    missing = [key for key in required if key not in arrays]
    if missing:
        raise BadFile(f"{path}: lacks {', '.join(missing)}; it has {', '.join(arrays) or 'nothing'}")
    return arrays, metadata
