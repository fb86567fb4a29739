"""The data sets of catalogue.yaml.

A data name is an entry's name, or `name@n` for n of its training samples, drawn with a fixed seed.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict

from uae.errors import DataError


class Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    stands_for: str
    title: str
    licence: str
    train: int
    test: int
    reader: str
    urls: list[str] = []
    files: dict[str, str]


@functools.cache
def entries() -> dict[str, Entry]:
    text = Path(__file__).with_name("catalogue.yaml").read_text(encoding="utf-8")
    return {name: Entry.model_validate(entry) for name, entry in yaml.safe_load(text).items()}


def lookup(data: str) -> tuple[Entry, int | None]:
    """The entry of a data name and its number of training samples, None where that is all."""
    match = re.fullmatch(r"([a-z0-9-]+)(?:@([1-9]\d*))?", data)
    if not match or match[1] not in entries():
        raise DataError(
            f"no data set {data!r}; there are {', '.join(entries())}, each also as name@<samples>"
        )
    entry, limit = entries()[match[1]], int(match[2]) if match[2] else None
    if limit and limit > entry.train:
        raise DataError(f"{data}: {match[1]} has only {entry.train} training samples")
    return entry, limit


def folder(data: str) -> str:
    """The folder of a data name's files, under data/raw and in a mirror."""
    return data.partition("@")[0]


def describe(data: str) -> str:
    """A title for people, which says what is a part or a stand-in."""
    entry, limit = lookup(data)
    return f"{entry.title}, {limit:,} of {entry.train:,} training samples" if limit else entry.title
