"""How tables, figures and the report call things, by the keys of the records."""

from __future__ import annotations

import functools

from uae.data import catalogue
from uae.errors import DataError
from uae.paper.layouts import layouts


def name_of(key: str, math: bool = True) -> str:
    """A name for people; without `math`, in Unicode."""
    name = layouts()["names"].get(key, key)
    return name if math else plain(name)


def plain(text: str) -> str:
    """The text with Unicode in TeX's place."""
    return functools.reduce(lambda text, item: text.replace(*item), layouts()["unicode"].items(), text)


def data_of(variant: str, title: str | None = None) -> str:
    """How the data behind a result are named beside it: a stand-in is called one.

    title: the data's, where the caller has it; else the catalogue's.
    """
    if title is None:
        try:
            title = catalogue.describe(variant)
        except DataError:  # data of one's own
            title = ""
    return f"stand-in: {variant}" if title.startswith("stand-in") else variant


def complete(variant: str) -> bool:
    """Whether data are all of the paper's; data of one's own are what they are."""
    try:
        return catalogue.complete(variant)
    except DataError:
        return True
