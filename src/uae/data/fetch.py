"""Get one raw file: from the mirror first, then from upstream, and check what came."""

from __future__ import annotations

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
    """Put the raw file `name` of a data set or published model at `target`, checked, whole or not at all.

    mirror: a folder or URL that holds `<data>/<file>` (the entry's `mirror_folder` where it has one), tried
    before the upstream addresses.
    Raises DataError naming the file, every address tried with its failure, and what to do.
    """
    entry, folder = catalogue.raw(data)
    if name not in entry.files:
        raise DataError(f"{folder} has no file {name!r}; it has {', '.join(entry.files) or 'none'}")
    places = [url.rstrip("/") for url in entry.urls]
    if mirror:
        places.insert(0, f"{mirror.rstrip('/')}/{entry.mirror_folder or folder}")
    failures = [] if places else ["  it has no upstream address and no mirror is set"]
    with tempfile.TemporaryDirectory() as scratch:
        for number, place in enumerate(places):
            try:
                # A folder each: what came from one place would else stand for the next one's file.
                found = _get(f"{place}/{name}", Path(scratch) / str(number))
                verify(found, entry.files[name], entry)
                with storage.atomic(target) as file, found.open("rb") as source:
                    shutil.copyfileobj(source, file)
                return
            except (DataError, requests.RequestException, ValueError) as error:
                failures.append(f"  {without_secrets(f'{place}/{name}: {error}')}")
                log.warning("%s", failures[-1].strip())
    raise DataError(
        f"{folder}/{name} could not be had:\n"
        + "\n".join(failures)
        + f"\nConnect to the network, or put the file at {target} yourself, or set UAE_DATA_MIRROR to a "
        f"folder or address that has {entry.mirror_folder or folder}/{name}."
    )


def without_secrets(text: str) -> str:
    """The text with no `user:secret@` in its addresses, for messages and logs."""
    return re.sub(r"(\b[a-zA-Z][\w+.-]*://)[^\s/]*@", r"\1", text)


def download(address: str, folder: Path) -> Path:
    """The file at an address, kept in `folder`. Raises DataError naming the address without its secrets."""
    try:
        return _get(address, folder)
    except (requests.RequestException, ValueError, OSError) as error:
        raise DataError(without_secrets(f"{address}: {error}")) from None


def _get(address: str, scratch: Path) -> Path:
    parts = urllib.parse.urlsplit(address)
    if parts.scheme in ("http", "https"):
        pooch.get_logger().setLevel(logging.WARNING)  # it would repeat the address
        base, _, name = address.rpartition("/")
        source = pooch.create(scratch, f"{base}/", registry={name: None}, retry_if_failed=RETRIES)
        return Path(source.fetch(name, downloader=pooch.HTTPDownloader(progressbar=True, timeout=30)))
    path = Path(urllib.request.url2pathname(parts.path) if parts.scheme == "file" else address)
    if not path.is_file():
        raise DataError("no such file")
    return path


def checksum(path: Path) -> str:
    """SHA-256 of the file's bytes, decompressed where it is one gzipped file.

    Archives (.tar.gz, .zip) are taken as they are. Raises DataError where the file is cut off, or none.
    """
    gzipped = path.suffix == ".gz" and ".tar" not in path.suffixes
    untrusted.regular(path)
    try:
        with untrusted.gunzipped(path) if gzipped else path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except DataError:
        raise
    except Exception as error:  # of gzip and zlib
        raise DataError(f"truncated or damaged ({error})") from None


def reason(error: Exception, path: Path) -> str:
    """An error's message without the path that it begins with: the caller names the place itself."""
    return str(error).removeprefix(str(path)).lstrip(":, ")


def verify(path: Path, expected: str | None, entry: catalogue.Raw) -> None:
    """Raise DataError unless a file has the expected checksum.

    None: its content is compared with the entry's, and where there is none either, the file's checksum is
    logged and a page in its place refused; the rest is the reader's to check.
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
