"""The names that tables, figures and the report give to the keys of records."""

from __future__ import annotations

import functools
import re

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


PROPER = ("Gauss", "MinMax", "Fréchet")  # the beginnings of words that keep their capital


def in_sentence(text: str) -> str:
    """A title or name in lower case, for use within a sentence. Abbreviations and names are unchanged."""
    lower = text[1:2].islower() and not text.startswith(PROPER)
    return text[:1].lower() + text[1:] if lower else text


def device_of(device: str) -> str:
    """The device of a record in words: `CPU, 1 threads` becomes `CPU, 1 thread`."""
    return re.sub(r"\b1 threads\b", "1 thread", device)


def data_of(variant: str, title: str | None = None) -> str:
    """The name of the data beside a result. It says if the data are a stand-in.

    title: the title of the data, if the caller has it; by default the catalogue's.
    """
    if title is None:
        try:
            title = catalogue.describe(variant)
        except DataError:  # the user's own data
            title = ""
    return f"stand-in: {variant}" if title.startswith("stand-in") else variant


def complete(variant: str) -> bool:
    """Whether the data are all of the paper's. The user's own data count as complete."""
    try:
        return catalogue.complete(variant)
    except DataError:
        return True
