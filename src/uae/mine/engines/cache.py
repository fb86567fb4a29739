"""numba's cache of compiled functions, which may be damaged or have no place."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import logging
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from numba import config, njit
from numba.core.caching import FunctionCache, IndexDataCacheFile

log = logging.getLogger(__name__)
SIZE = hashlib.sha256().digest_size


def _sources(package: Path) -> str:
    """The digest of all that kernels are compiled from: they use functions and constants of other files."""
    paths = [*sorted((package / "mine" / "engines").glob("*.py")), package / "seeding.py"]
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()


SOURCES = _sources(Path(__file__).parents[2])


def cached_njit(**options: Any) -> Callable[[Callable], Callable]:
    """numba's `njit(cache=True)`, which compiles again what it finds damaged or cannot keep."""

    def decorate(function: Callable) -> Callable:
        dispatcher = njit(**options)(function)
        try:
            dispatcher._cache = CheckedCache(function)
        except RuntimeError:  # NUMBA_CACHE_DIR, the package and the home cannot be written to
            dispatcher._cache = _temporary(function) or dispatcher._cache
        return dispatcher

    return decorate


def _temporary(function: Callable) -> CheckedCache | None:
    """A cache in a folder for temporary files that belongs to the user alone: what lies there is executed."""
    folder = Path(tempfile.gettempdir()) / f"uae-numba-{os.getuid()}"
    before = config.CACHE_DIR
    try:
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
            raise OSError(f"{folder} is not private to this user")
        config.CACHE_DIR = str(folder)
        return CheckedCache(function)
    except (OSError, RuntimeError) as error:
        _warn(str(error))
        return None
    finally:
        config.CACHE_DIR = before


@functools.cache
def _warn(why: str) -> None:
    log.warning(
        "numba cannot cache the compiled kernels (%s): each process compiles them again, for seconds; set "
        "NUMBA_CACHE_DIR to a writable folder",
        why,
    )


class CheckedCache(FunctionCache):
    def __init__(self, function: Callable):
        super().__init__(function)
        self._cache_file.__class__ = CheckedFiles  # numba takes no argument for it
        self._cache_file._source_stamp = SOURCES  # numba's has the time of the function's file alone

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except OSError as error:  # a full disk, or a folder whose permissions have changed
            _warn(str(error))


class CheckedFiles(IndexDataCacheFile):
    """An index and files of machine code, each with its SHA-256 at the end, which pickle does not read.

    Without this check numba raises what pickle raises, and LLVM ends the process over a damaged object
    file.
    """

    def _load_index(self) -> dict:
        return super()._load_index() if _whole(self._index_path) else {}

    def _load_data(self, name: str) -> Any:
        if not _whole(self._data_path(name)):
            raise OSError(f"{self._data_path(name)} is damaged")  # numba takes it for deleted
        return super()._load_data(name)

    @contextlib.contextmanager
    def _open_for_write(self, filepath: str) -> Iterator[BinaryIO]:
        content = io.BytesIO()
        yield content
        with super()._open_for_write(filepath) as file:
            file.write(content.getvalue() + hashlib.sha256(content.getvalue()).digest())


def _whole(path: str) -> bool:
    try:
        content = Path(path).read_bytes()
    except OSError:
        return False
    return hashlib.sha256(content[:-SIZE]).digest() == content[-SIZE:]
