"""Compare rendered files with the committed ones, for the last line of a rendering."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterable
from pathlib import Path

NAMED = 3  # the most items that an answer names


def answer(rendered: Iterable[Path], folder: Path | None = None) -> str:
    """`12 items, identical to the committed ones`, or the items that differ. Empty if git has none of them.

    An item is one table or figure with all its files.
    folder: the folder of the committed files, if it is not that of the rendered ones.
    """
    by_item: dict[str, list[bool]] = {}
    blobs: dict[Path, dict[str, str]] = {}
    for path in sorted(rendered):
        where = folder or path.parent
        if where not in blobs:
            blobs[where] = _blobs(where)
        if path.name in blobs[where]:
            by_item.setdefault(path.stem, []).append(blobs[where][path.name] == _blob(path))
    differing = [item for item, same in by_item.items() if not all(same)]
    count = f"{len(by_item)} item{'s' * (len(by_item) != 1)}"
    if not by_item:
        return ""
    if not differing:
        return f"{count}, identical to the committed one{'s' * (len(by_item) != 1)}"
    more = f" and {len(differing) - NAMED} more" if len(differing) > NAMED else ""
    return f"{count}; other than the committed: {', '.join(differing[:NAMED])}{more}"


def _blobs(folder: Path) -> dict[str, str]:
    """The digests that git's last commit has for the files of a folder, by name."""
    if not folder.is_dir():
        return {}
    command = ["git", "ls-tree", "-z", "HEAD", "./"]
    try:
        run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    except OSError:  # git is absent
        return {}
    entries = [line.split("\t", 1) for line in run.stdout.split("\0") if "\t" in line]
    return {Path(name).name: about.split()[2] for about, name in entries}


def _blob(path: Path) -> str:
    """The digest that git computes for a file of this content."""
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
