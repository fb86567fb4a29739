"""A file's identity and origin: three entries of its metadata, which every reader compares.

file: its place below results/<scale> or data, such as checkpoints/mnist/dense/matched/seed0.safetensors. It
    states the kind, the data set, the model, the method, the seed and the draw.
content: the SHA-256 of its arrays. A rebuild that gives the same numbers does not change it.
inputs: by place, the `content` of every file that it was made from, directly or not, and the hash of the
    settings that each was made with.

Files elsewhere, such as those of `uae attack`, have no place and are not compared. Only files that are
written below results/<scale> or data get an identity. One that has it is also compared in a moved folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from uae.errors import BadFile, InputError

KINDS = {"checkpoints": "checkpoint", "uae": "UAE set", "records": "record"}
PLACE = re.compile(
    r"(?:^|/)("
    r"(?:checkpoints(?:/robustness)?|uae)/[^/]+/[^/]+/[^/]+/seed\d+(?:-draw\d+)?\.safetensors"
    r"|records/[^/]+/[^/]+/[^/]+/(?:[^/]+/)?seed\d+(?:-draw\d+)?\.(?:json|safetensors)"
    r"|prepared/[^/]+\.safetensors)$"
)
# By the folder of a place, the hash of the configuration's settings. A job's `--made` sets it.
settings: dict[str, str] = {}


def place(path: str | Path) -> str | None:
    """A file's path below results/<scale> or data; None for a file that does not belong to the workflow."""
    found = PLACE.search(Path(os.path.abspath(path)).as_posix())  # noqa: PTH100 (follows no links)
    return found and found[1]


def at_home(path: str | Path) -> bool:
    """Whether a file has a place and is in the workflow's own folders, results/<scale> or data.

    Elsewhere a file of a user may have the same name: it gets no identity, and needs none to be read.
    """
    whole, found = Path(os.path.abspath(path)).as_posix(), place(path)  # noqa: PTH100 (follows no links)
    return (
        found is not None and re.search(r"/(?:results/[^/]+|data)/$", whole.removesuffix(found)) is not None
    )


class Names(NamedTuple):
    """The parts of a file's path. experiment: the folder of a record."""

    kind: str
    experiment: str | None
    dataset: str
    model: str
    method: str | None
    seed: int
    draw: int | None

    @property
    def row(self) -> str:
        return f"{self.dataset}/{self.model}"


def names(path: str | Path) -> Names:
    """The names in the place of a checkpoint, a UAE set or a record.

    Raises InputError for another place.
    """
    found = place(path)
    if found is None or found.startswith("prepared/"):
        raise InputError(f"{path}: not the place of a checkpoint, a UAE set or a record")
    kind, *parts, run = found.rpartition(".")[0].split("/")
    experiment = parts.pop(0) if kind == "records" or parts[0] == "robustness" else None
    dataset, model, *method = parts
    seed, _, draw = run.removeprefix("seed").partition("-draw")
    return Names(
        kind,
        experiment,
        dataset,
        model,
        method[0] if method else None,
        int(seed),
        int(draw) if draw else None,
    )


def hash_of(settings: Any) -> str:
    """A short hash of a job's settings."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


def verify(path: str | Path, metadata: Mapping[str, Any]) -> None:
    """Raise BadFile if a file's identity does not match its place, or if it was made with other settings."""
    expected = place(path)
    if expected is None:
        return
    found = metadata.get("file")
    committed = expected.startswith("records/")  # committed records are older than identities
    if found is None and not committed and at_home(path):
        raise BadFile(f"{path}: does not say what it is; delete it to have it made again")
    if found not in (None, expected):
        raise BadFile(
            f"{path}: is {describe(str(found))}; expected {describe(expected)}; "
            "delete it to have it made again"
        )
    asked = settings.get(expected.rpartition("/")[0])
    if asked is not None and asked != made_with(metadata):
        raise BadFile(
            f"{path}: was made with other settings than the configuration's; delete it to have it made again"
        )


def describe(place: str) -> str:
    """A place in words, such as: the checkpoint of mnist/dense, method matched, seed 0."""
    if place.startswith("prepared/"):
        return f"the prepared data {Path(place).stem}"
    if not PLACE.search(place):
        return f"the file {place}"
    found = names(place)
    words = f"the {KINDS[found.kind]}" + f" of {found.experiment}" * (found.experiment is not None)
    words += f" of {found.row}" + f", method {found.method}" * (found.method is not None)
    return f"{words}, seed {found.seed}" + f", draw {found.draw}" * (found.draw is not None)


def made_with(metadata: Mapping[str, Any]) -> str | None:
    """The hash of the settings that a checkpoint or UAE set was made with."""
    return metadata.get("provenance", {}).get("settings_hash")


def inputs(files: Mapping[Path, Mapping[str, Any]]) -> dict[str, dict[str, str | None]]:
    """The `inputs` entry of a file that is made from the given files, from their metadata.

    Raises BadFile if they do not belong together: if one was made from another version of a given file, or if
    two were made from different versions of a file or from different data.
    """
    merged: dict[str, dict[str, str | None]] = {}
    source: dict[str, Path] = {}  # the file that states each input
    for path, metadata in files.items():
        if metadata.get("file"):
            merged[metadata["file"]] = {"content": metadata["content"], "settings": made_with(metadata)}
            source[metadata["file"]] = path
    for path, metadata in files.items():
        for name, entry in metadata.get("inputs", {}).items():
            if merged.setdefault(name, entry)["content"] != entry["content"]:
                other = describe(name).removeprefix("the ")
                raise BadFile(
                    f"{path}: was made from another {other} than {source[name]}; "
                    "delete it to have it made again"
                )
            source.setdefault(name, path)
    data = [name for name in merged if name.startswith("prepared/")]
    if len(data) > 1:
        raise BadFile(
            f"{source[data[1]]}: was made from {describe(data[1])}; expected {describe(data[0])}; "
            "delete it to have it made again"
        )
    return merged
