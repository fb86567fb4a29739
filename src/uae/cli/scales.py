"""The default scale of a command: the largest one with records."""

from __future__ import annotations

import difflib
from pathlib import Path

from uae.cli.common import configured_fill, filling_scale
from uae.errors import InputError

LARGEST_FIRST = ("paper", "reduced", "preview")


def chosen(results: Path, given: str | None, fill: str | None = None) -> tuple[str, str | None, str]:
    """The scale, the scale that replaces its missing records, and both in words for the answer.

    The scale is `given`, by name or by its file, or else the largest one with records, be they its own or the
    replacing scale's. Raises `InputError` if there are none.
    """
    if given is not None:
        from uae.config.files import scale_name

        name = scale_name(given)
        _there(results, name)
        filler = filling_scale(results / name, fill, given)
        return name, filler, _said(name, filler, [])
    there = {path.name for path in results.glob("*") if (path / "records").is_dir()}
    order = [*LARGEST_FIRST, *sorted(there - set(LARGEST_FIRST))]
    found = [name for name in order if name in there or configured_fill(name) in there]
    if not found:
        raise InputError(
            f"{results}: no scale has records here; run `make`, or run this in the repository's folder"
        )
    filler = filling_scale(results / found[0], fill)
    return found[0], filler, _said(found[0], filler, [name for name in found[1:] if name in there])


def _there(results: Path, given: str) -> None:
    """Raise `InputError` for an unknown name that is close to the name of a scale or folder."""
    if (results / given).is_dir():
        return
    from uae.config import files  # most commands read no settings, and reading takes 0.3 s to import

    known = {*files.scales(), *(path.name for path in results.glob("*") if path.is_dir())}
    close = difflib.get_close_matches(given, known, n=1)
    if given not in known and close:
        raise InputError(f"{results / given / 'records'}: no records; did you mean --scale {close[0]}?")


def _said(scale: str, filler: str | None, others: list[str]) -> str:
    text = f"scale {scale}" + (f", missing records from {filler}" if filler else "")
    return text + (f" (others with records: {', '.join(others)})" if others else "")
