"""Download one raw file, from the mirror or else from upstream, and check it."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import logging
import re
import shutil
import tempfile
import urllib.parse
import urllib.request
from pathlib import Path

import pooch
import requests

from uae import storage
from uae.data import catalogue, untrusted
from uae.errors import DataError

log = logging.getLogger(__name__)

RETRIES = 3


def fetch(data: str, name: str, target: Path, mirror: str | None = None) -> None:
    """Write the raw file `name` of a data set or published model to `target`, once it is whole and checked.

    mirror: a folder or URL that holds `<data>/<file>` (or `<mirror_folder>/<file>` if the entry has one). It
    is tried before the upstream addresses. A file at `target` that passes the check is kept.
    Raises DataError naming the file, every address tried with its failure, and what to do.
    """
    entry, folder = catalogue.raw(data)
    if name not in entry.files:
        raise DataError(f"{folder} has no file {name!r}; its files: {', '.join(entry.files) or 'none'}")
    if target.is_file():
        with contextlib.suppress(DataError):
            verify(target, entry.files[name], entry)
            return
    places = [url.rstrip("/") for url in entry.urls]
    if mirror:
        places.insert(0, f"{mirror.rstrip('/')}/{entry.mirror_folder or folder}")
    failures = [] if places else ["  it has no upstream address and no mirror is set"]
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".", dir=target.parent) as scratch:  # TMPDIR may be small
        for number, place in enumerate(places):
            try:
                # One folder per source, so that a file from one source does not pass for that of the next.
                found = _get(f"{place}/{name}", Path(scratch) / str(number))
                verify(found, entry.files[name], entry)
            except (DataError, OSError, ValueError) as error:  # also those of `requests` and of a stale mount
                if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                    raise OSError(error.errno, f"cannot write {target}: {error.strerror}") from error
                failures.append(f"  {without_secrets(f'{place}/{name}: {error}')}")
                log.warning("%s", failures[-1].strip())
                continue
            with storage.atomic(target) as file, found.open("rb") as source:
                shutil.copyfileobj(source, file)
            return
    raise DataError(
        f"{folder}/{name} could not be fetched:\n"
        + "\n".join(failures)
        + f"\nConnect to the network, or put the file at {target} yourself, or set UAE_DATA_MIRROR to a "
        f"folder or address that has {entry.mirror_folder or folder}/{name}."
    )


def without_secrets(text: str) -> str:
    """The text with no `user:secret@` in its addresses, for messages and logs."""
    return re.sub(r"(\b[a-zA-Z][\w+.-]*://)[^\s/]*@", r"\1", text)


def download(address: str, folder: Path) -> Path:
    """Download the file at an address into `folder`. Raises DataError naming the address without secrets."""
    try:
        return _get(address, folder)
    except (requests.RequestException, ValueError, OSError) as error:
        raise DataError(without_secrets(f"{address}: {error}")) from None


def _get(address: str, scratch: Path) -> Path:
    parts = urllib.parse.urlsplit(address)
    if parts.scheme in ("http", "https"):
        pooch.get_logger().setLevel(logging.WARNING)  # the error's text would repeat the address
        base, _, name = address.rpartition("/")
        source = pooch.create(scratch, f"{base}/", registry={name: None}, retry_if_failed=RETRIES)
        return Path(source.fetch(name, downloader=pooch.HTTPDownloader(progressbar=True, timeout=30)))
    path = Path(urllib.request.url2pathname(parts.path) if parts.scheme == "file" else address)
    if not path.is_file():
        raise DataError("no such file")
    return path


def checksum(path: Path) -> str:
    """SHA-256 of the file's bytes; a gzipped file is decompressed first.

    Archives (.tar.gz, .zip) are not decompressed. Raises DataError if the file is truncated or absent.
    """
    gzipped = path.suffix == ".gz" and ".tar" not in path.suffixes
    untrusted.regular(path)
    try:
        with untrusted.gunzipped(path) if gzipped else path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except DataError:
        raise
    except Exception as error:  # errors of gzip and zlib
        raise DataError(f"truncated or damaged ({error})") from None


def reason(error: Exception, path: Path) -> str:
    """An error's message without the path that it begins with: the caller names the place itself."""
    return str(error).removeprefix(str(path)).lstrip(":, ")


def verify(path: Path, expected: str | None, entry: catalogue.Raw) -> None:
    """Raise DataError unless a file has the expected checksum.

    Without an expected checksum, the content is compared with the entry's `content`. Without that, too, the
    checksum is logged, and HTML or XML is refused; the reader checks the rest.
    """
    if expected is not None:
        if (found := checksum(path)) != expected:
            raise DataError(f"SHA-256 of the content is {found}, expected {expected}: not the published file")
        return
    untrusted.regular(path)
    with path.open("rb") as file:
        start = file.read(512)
    if start.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"<":
        raise DataError("a page of HTML or XML, not the published file")
    if path.suffix == ".zip" and start[:4] != b"PK\3\4":
        raise DataError("not a zip archive")
    if not isinstance(entry, catalogue.Entry) or entry.content is None:
        log.warning("%s: no published checksum to compare with; SHA-256 is %s", path.name, checksum(path))
        return
    from uae.data import readers

    try:
        found = readers.content(entry, path)
    except DataError as error:
        raise DataError(reason(error, path)) from None
    if found != entry.content:
        raise DataError(
            f"SHA-256 of the content is {found}, expected {entry.content}: not the published data"
        )
