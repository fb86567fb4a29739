"""Read foreign files in bounded time and memory.

The sizes in a header are compared with the file's size before any memory is allocated, and packed content is
read up to a limit. Every failure raises a DataError of one line that names the file and the member.
"""

from __future__ import annotations

import gzip
import io
import math
import os
import re
import stat
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from uae.errors import DataError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

LIMIT = 2**29  # bytes; no raw file of the catalogue unpacks to more
RATIO = 100  # an .npz file may exceed the limit up to this multiple of its size


def regular(path: Path) -> int:
    """The size of a file in bytes. Raises DataError if it is empty, unreadable or not a regular file.

    Opening a FIFO would wait for its writer.
    """
    try:
        found = path.stat()
        if stat.S_ISREG(found.st_mode):
            path.open("rb").close()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path}: {str(reason).lower()}") from None
    if not stat.S_ISREG(found.st_mode):
        kind = "a folder" if stat.S_ISDIR(found.st_mode) else "a pipe or device"
        raise DataError(f"{path}: {kind}, not a file")
    if not found.st_size:
        raise DataError(f"{path}: the file is empty")
    return found.st_size


def text(path: Path) -> str:
    """Read a text file in UTF-8, with or without a byte order mark."""
    if (size := regular(path)) > LIMIT:
        raise DataError(f"{path}: {size:,} bytes of text, at most {LIMIT:,} are expected")
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not a text in UTF-8 ({error})") from None


class _Bounded(io.RawIOBase):
    """A stream that fails when a reader reads or seeks beyond `limit` bytes."""

    def __init__(self, stream: gzip.GzipFile, limit: int) -> None:
        self.stream, self.limit = stream, limit

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def _check(self, position: int) -> None:
        if position > self.limit:
            raise DataError(f"unpacks to more than {self.limit:,} bytes")

    def read(self, size: int = -1) -> bytes:
        if size < 0:
            content = self.stream.read(self.limit - self.stream.tell() + 1)
            self._check(self.stream.tell())
            return content
        self._check(self.stream.tell() + size)
        return self.stream.read(size)

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        content = self.stream.read(len(view))
        self._check(self.stream.tell())
        view[: len(content)] = content
        return len(content)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence == os.SEEK_SET:
            self._check(offset)
        return self.stream.seek(offset, whence)

    def tell(self) -> int:
        return self.stream.tell()

    def close(self) -> None:
        self.stream.close()
        super().close()


def gunzipped(path: Path) -> _Bounded:
    """The decompressed stream of a gzipped file. Reading beyond the limit raises a DataError."""
    regular(path)
    return _Bounded(gzip.open(path), LIMIT)


def members(path: Path, kind: str, pattern: str, limit: int | None = None) -> dict[str, bytes]:
    """The files in a `zip` or `tar` (plain or gzipped) archive whose names end in a match of `pattern`.

    The keys are the matches, without folders. limit: the most bytes to unpack, LIMIT unless given.
    Raises DataError if the archive is damaged, or has a link, a device, a name that leads out of it, a file
    twice, or a file that is encrypted, compressed by another method or too large.
    """
    regular(path)
    reading = _zip if kind == "zip" else _tar
    found: dict[str, bytes] = {}
    try:
        for name, content in reading(path, limit or LIMIT, re.compile(rf"(?:^|/)({pattern})$")):
            if found.setdefault(name, content) != content:
                raise DataError(f"has two files {name}")
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    except Exception as error:  # a damaged archive can make the library raise a dozen kinds of error
        raise DataError(f"{path}: not a whole {kind} archive ({error or type(error).__name__})") from None
    return found


def _zip(path: Path, limit: int, pattern: re.Pattern[str]) -> Iterator[tuple[str, bytes]]:
    left = limit
    with zipfile.ZipFile(path) as file:
        for info in file.infolist():
            match = pattern.search(info.filename)
            size = info.file_size if match else 0
            _allowed(info.filename, size, left, link=stat.S_ISLNK(info.external_attr >> 16))
            if not match:
                continue
            if info.flag_bits & 1:
                raise DataError(f"{info.filename} is encrypted; pack it without a password")
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise DataError(
                    f"{info.filename} is compressed by method {info.compress_type}; stored and deflated "
                    "files can be read"
                )
            left -= info.file_size
            try:
                with file.open(info) as member:
                    content = member.read(info.file_size)  # without a size, everything that it unpacks to
            except Exception as error:
                raise zipfile.BadZipFile(f"{info.filename}: {error}") from None
            yield match[1], _whole(info.filename, content, info.file_size)


def _tar(path: Path, limit: int, pattern: re.Pattern[str]) -> Iterator[tuple[str, bytes]]:
    with path.open("rb") as file:
        gzipped = file.read(2) == b"\x1f\x8b"
    with (
        gunzipped(path) if gzipped else path.open("rb") as stream,
        tarfile.open(fileobj=stream, mode="r:") as tar,
    ):
        for member in tar:
            _allowed(member.name, member.size, limit, link=member.issym() or member.islnk())
            if not (member.isfile() or member.isdir()):
                raise DataError(f"{member.name!r} is a device or pipe, not a file")
            if (match := pattern.search(member.name)) and (inside := tar.extractfile(member)):
                yield match[1], _whole(member.name, inside.read(), member.size)


def _allowed(name: str, size: int, limit: int, link: bool) -> None:
    parts = name.replace("\\", "/").split("/")
    if parts[0] == "" or ".." in parts or re.match("[A-Za-z]:", name):
        raise DataError(f"the name {name!r} leads out of the archive")
    if link:
        raise DataError(f"{name!r} is a link, not a file")
    if size > limit:
        raise DataError(f"{name!r} unpacks to {size:,} bytes, at most {limit:,} are expected")


def _whole(name: str, content: bytes, size: int) -> bytes:
    if len(content) < size:
        raise EOFError(f"{name} is truncated")
    return content


def npy(content: io.BufferedIOBase, size: int) -> np.ndarray:
    """Read the array of numbers in a .npy stream of `size` bytes, in C order and the machine's byte order.

    Raises DataError if the header is invalid or states another size, or if the elements are not numbers.
    """
    head = io.BytesIO(content.read(min(size, 2**16)))
    try:
        version = np.lib.format.read_magic(head)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        shape, fortran, dtype = read[version](head)
    except Exception as error:  # errors of NumPy and of Python's parser
        raise DataError(f"not an array in NumPy's format ({str(error).splitlines()[0][:200]})") from None
    if dtype.kind not in "biufc":
        what = (
            "Python objects, a pickle" if dtype.hasobject else f"elements of type numpy.{dtype.type.__name__}"
        )
        raise DataError(f"holds {what}; need numbers")
    if min(shape, default=0) < 0 or not all(type(n) is int for n in shape):
        raise DataError(f"the header claims shape {shape}")
    claimed, there = math.prod(shape) * dtype.itemsize, size - head.tell()
    if claimed != there:
        raise DataError(
            f"the header claims {claimed:,} bytes of numbers (shape {shape}, {dtype}), there are {there:,}"
        )
    content.seek(head.tell())
    values = np.empty(claimed, np.uint8)
    content.readinto(values.data)
    values = values.view(dtype).reshape(shape, order="F" if fortran else "C")
    return values.astype(dtype.newbyteorder("="), order="C", copy=False)


def npz(path: Path, *names: str) -> list[np.ndarray]:
    """The named arrays of an .npz file. Raises DataError if it is not an .npz file or lacks one of them."""
    limit = max(LIMIT, RATIO * regular(path))
    try:
        found = members(path, "zip", "|".join(re.escape(f"{name}.npy") for name in names), limit)
    except DataError as error:
        reason = str(error).removeprefix(f"{path}: ").removeprefix("not a whole zip archive ")
        raise DataError(
            f"{path}: not a whole .npz file ({reason.removeprefix('(').removesuffix(')')})"
        ) from None
    if missing := [name for name in names if f"{name}.npy" not in found]:
        with zipfile.ZipFile(path) as file:
            there = ", ".join(name.removesuffix(".npy") for name in file.namelist()[:20])
        raise DataError(f"{path}: lacks {', '.join(missing)}; it has {there or 'nothing'}")
    arrays = []
    for name in names:
        content = found[f"{name}.npy"]
        try:
            arrays.append(npy(io.BytesIO(content), len(content)))
        except DataError as error:
            raise DataError(f"{path}: not a whole .npz file ({name}: {error})") from None
    return arrays
