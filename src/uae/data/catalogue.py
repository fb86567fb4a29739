"""The data sets of catalogue.yaml, the published models of models.yaml, and the names of prepared data.

A data name is an entry's name. `@n` after it takes n of its training samples, drawn with a fixed seed.
`+flip`, `+rotation` and `+noise-<sigma>`, in this order, add a transformed copy of each training sample
(Table 5): `svhn@10000+flip+rotation+noise-0.01`.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict

from uae import shipped
from uae.errors import DataError

NAME = re.compile(
    r"(?P<entry>[a-z0-9-]+)(?:@(?P<limit>[1-9]\d*))?"
    r"(?P<flip>\+flip)?(?P<rotation>\+rotation)?(?:\+noise-(?P<sigma>\d+(?:\.\d+)?))?"
)


class Raw(BaseModel):
    """Files to download, with the SHA-256 of each."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str
    licence: str
    urls: list[str] = []
    mirror_folder: str = ""
    files: dict[str, str | None]


class Entry(Raw):
    """A data set; `content` is the SHA-256 of what a file without one holds (`readers.content`)."""

    stands_for: str
    train: int
    test: int
    classes: int
    reader: str
    raw: str = ""
    content: str | None = None


class Published(Raw):
    """A published model: one file of weights for one of `uae.models`."""

    network: str
    arguments: dict[str, Any]
    shape: tuple[int, ...]
    rename: dict[str, str]
    drop: list[str] = []


class DataName(NamedTuple):
    """The parts of a data name; `sigma` is 0 without noise."""

    entry: str
    limit: int | None
    flip: bool
    rotation: bool
    sigma: float

    @property
    def transformed(self) -> bool:
        return self.flip or self.rotation or self.sigma > 0


@functools.cache
def entries() -> dict[str, Entry]:
    return {name: Entry.model_validate(entry) for name, entry in _listed("catalogue.yaml").items()}


@functools.cache
def models() -> dict[str, Published]:
    return {name: Published.model_validate(entry) for name, entry in _listed("models.yaml").items()}


def _listed(file: str) -> dict[str, Any]:
    listed: dict[str, Any] = shipped.read(Path(__file__).with_name(file))
    return listed


def raw(name: str) -> tuple[Raw, str]:
    """The files to download for a data name or a published model, and their folder under data/raw."""
    if name in models():
        return models()[name], name
    return lookup(name)[0], folder(name)


def model_file(name: str) -> str:
    """The path of a published model's file."""
    (file,) = models()[name].files
    return f"data/raw/{name}/{file}"


def parse(data: str) -> DataName:
    """The parts of a data name. Raises DataError if it is not a data name."""
    match = NAME.fullmatch(data)
    if not match or match["entry"] not in entries():
        raise DataError(
            f"no data set {data!r}; there are {', '.join(entries())}, each also as "
            "name@<samples>[+flip][+rotation][+noise-<sigma>]"
        )
    if match["sigma"] and not float(match["sigma"]):
        raise DataError(f"{data}: a noise level must be above 0")
    limit = int(match["limit"]) if match["limit"] else None
    sigma = float(match["sigma"] or 0)
    return DataName(match["entry"], limit, bool(match["flip"]), bool(match["rotation"]), sigma)


def lookup(data: str) -> tuple[Entry, int | None]:
    """The entry of a data name and its number of training samples; None means all."""
    name = parse(data)
    entry = entries()[name.entry]
    if name.limit and name.limit > entry.train:
        raise DataError(f"{data}: {name.entry} has only {entry.train} training samples")
    return entry, name.limit


def complete(data: str) -> bool:
    """Whether a data name has all samples of the paper's data set that it represents."""
    entry, limit = lookup(data)
    original = entries().get(entry.stands_for, entry)
    return limit is None and (entry.train, entry.test) == (original.train, original.test)


def folder(data: str) -> str:
    """The folder of a data name's files under data/raw."""
    entry = parse(data).entry
    return entries()[entry].raw or entry


def describe(data: str) -> str:
    """A title for people. It says whether the data are a part, a stand-in or transformed."""
    entry, limit = lookup(data)
    name = parse(data)
    title = f"{entry.title}, {limit:,} of {entry.train:,} training samples" if limit else entry.title
    parts = [
        name.flip and "random flips",
        name.rotation and "rotation by up to 10°",
        name.sigma and f"Gaussian noise of σ = {name.sigma:g}",
    ]
    with_copies = " and ".join(part for part in parts if part)
    return f"{title}, and of each a copy with {with_copies}" if with_copies else title
