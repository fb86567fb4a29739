"""Get one raw file: from the mirror first, then from upstream, and check what came."""

from __future__ import annotations

import gzip
import hashlib
import logging
import shutil
import tempfile
import urllib.parse
import urllib.request
import zlib
from pathlib import Path

import pooch
import requests

from uae import storage
from uae.data import catalogue
from uae.errors import DataError

log = logging.getLogger(__name__)

RETRIES = 3


def fetch(data: str, name: str, target: Path, mirror: str | None = None) -> None:
    """Put the raw file `name` of a data set at `target`, checked, whole or not at all.

    mirror: a folder or URL that holds `<data set>/<file>` (the entry's `mirror_folder` where it has one),
    tried before the upstream addresses.
    Raises DataError naming the file, every address tried with its failure, and what to do.
    """
    entry, _ = catalogue.lookup(data)
    folder = catalogue.folder(data)
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
                verify(found, entry.files[name])
                with storage.atomic(target) as file, found.open("rb") as source:
                    shutil.copyfileobj(source, file)
                return
            except (DataError, requests.RequestException, ValueError) as error:
                failures.append(f"  {place}/{name}: {error}")
                log.warning("%s", failures[-1].strip())
    raise DataError(
        f"{folder}/{name} could not be had:\n"
        + "\n".join(failures)
        + f"\nConnect to the network, or put the file at {target} yourself, or set UAE_DATA_MIRROR to a "
        f"folder or address that has {entry.mirror_folder or folder}/{name}."
    )


def _get(address: str, scratch: Path) -> Path:
    parts = urllib.parse.urlsplit(address)
    if parts.scheme in ("http", "https"):
        base, _, name = address.rpartition("/")
        source = pooch.create(scratch, f"{base}/", registry={name: None}, retry_if_failed=RETRIES)
        return Path(source.fetch(name, downloader=pooch.HTTPDownloader(progressbar=True, timeout=30)))
    path = Path(urllib.request.url2pathname(parts.path) if parts.scheme == "file" else address)
    if not path.is_file():
        raise DataError("no such file")
    return path


def checksum(path: Path) -> str:
    """SHA-256 of the file's bytes, decompressed where it is one gzipped file.

    Archives (.tar.gz, .zip) are taken as they are. Raises DataError where the file is cut off.
    """
    gzipped = path.suffix == ".gz" and ".tar" not in path.suffixes
    try:
        with gzip.open(path) if gzipped else path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"truncated or damaged ({error})") from None


def verify(path: Path, expected: str | None) -> None:
    """Raise DataError unless the file has the expected checksum; None: log the checksum that it has."""
    found = checksum(path)
    if expected is None:
        log.warning("%s: no published checksum to compare with; SHA-256 is %s", path.name, found)
    elif found != expected:
        raise DataError(f"SHA-256 of the content is {found}, expected {expected}: not the published file")
