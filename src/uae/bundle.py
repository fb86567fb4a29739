"""Models of a release bundle: a folder of files with their checksums, or its address.

`index.json` names the models and, for each, its file, size and SHA-256. `tools/release.py` builds a bundle.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from uae import checkpoints, storage
from uae.errors import BadFile, DataError, InputError

INDEX = "index.json"
SOURCE = "UAE_PRETRAINED"  # this environment variable names a bundle
MOST = 2**20  # the most bytes of an index
SECONDS = 30  # seconds to wait for a byte from an address
FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\.safetensors")


def load(name: str, source: str | Path | None = None) -> nn.Module:
    """See `uae.models.pretrained`."""
    place = str(source or os.environ.get(SOURCE) or "")
    if not place:
        raise InputError(
            f"pretrained model {name!r}: give source=, the folder or address of a release bundle, or set "
            f"the environment variable {SOURCE}"
        )
    models = _index(place)
    if name not in models:
        raise InputError(
            f"{_shown(place)} has no model {name!r}; it has {', '.join(sorted(models)) or 'none'}"
        )
    entry = models[name]
    if not _is_remote(place):
        path = Path(place) / entry["file"]
        _compare(_read(place, entry["file"], entry["bytes"]), entry, place)
        return checkpoints.load(path)[0]
    kept = Path(torch.hub.get_dir()) / "uae" / f"{entry['sha256']}.safetensors"
    if not (kept.is_file() and storage.digest(kept) == entry["sha256"]):
        content = _read(place, entry["file"], entry["bytes"])
        _compare(content, entry, place)
        with storage.atomic(kept) as file:
            file.write(content)
    return checkpoints.load(kept)[0]


def _index(place: str) -> dict[str, Mapping[str, Any]]:
    """The models of a bundle, each with `file`, `bytes` and `sha256`. Raises BadFile for an invalid index."""
    text = _read(place, INDEX, MOST)
    try:
        models = json.loads(text)["models"]
        for entry in models.values():
            whole = FILE.fullmatch(entry["file"]) and re.fullmatch("[0-9a-f]{64}", entry["sha256"])
            if not whole or type(entry["bytes"]) is not int:
                raise ValueError(entry["file"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadFile(f"{_shown(place)}/{INDEX}: not the index of a release bundle ({error})") from None
    return dict(models)


def _is_remote(place: str) -> bool:
    return urllib.parse.urlsplit(place).scheme in ("http", "https")


def _read(place: str, name: str, most: int) -> bytes:
    """Read a file of a bundle, which may have at most `most` bytes. Raises DataError or BadFile naming it."""
    where = f"{place.rstrip('/')}/{name}"
    try:
        if _is_remote(place):
            with urllib.request.urlopen(where, timeout=SECONDS) as answer:
                content: bytes = answer.read(most + 1)
        else:
            with Path(place, name).open("rb") as file:
                content = file.read(most + 1)
    except (OSError, ValueError) as error:
        raise DataError(f"{_shown(where)}: {getattr(error, 'strerror', None) or error}") from None
    if len(content) > most:
        raise BadFile(f"{_shown(where)}: longer than the {most} bytes that are allowed for it")
    return content


def _compare(content: bytes, entry: Mapping[str, Any], place: str) -> None:
    found = hashlib.sha256(content).hexdigest()
    if found != entry["sha256"]:
        raise BadFile(
            f"{_shown(place)}/{entry['file']}: SHA-256 is {found}, the index says {entry['sha256']}: "
            "it is damaged or belongs to another release"
        )


def _shown(address: str) -> str:
    """The address without `user:secret@`."""
    return re.sub(r"://[^\s/]*@", "://", address)
