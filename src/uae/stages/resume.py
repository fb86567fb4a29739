"""What a killed training or attack goes on from: a file beside the one that it writes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import uae
from uae import records, storage
from uae.errors import BadFile

# The files of `uae` that train and that attack: a state left by other code is not resumed.
TRAINING = ("augment*.py", "contrastive.py", "models/*.py", "seed*.py", "training/*.py")
ATTACK = (
    "attacks/*.py",
    "augmentations.py",
    "contrastive.py",
    "losses.py",
    "mine/*.py",
    "models/*.py",
    "sampling.py",
    "seed*.py",
)


def resuming(target: Path, code: tuple[str, ...], clock: records.Clock, *inputs: Any) -> dict[str, Any]:
    """The options `resume` and `tag` of a training or an attack whose result goes to `target`.

    clock: gets the seconds that what is resumed has taken.
    inputs: JSON values, everything that decides on the result besides the code.
    """
    folder = Path(uae.__file__).parent
    digests = [storage.digest(path) for pattern in code for path in sorted(folder.glob(pattern))]
    tag = hashlib.sha256(json.dumps([inputs, digests], sort_keys=True).encode()).hexdigest()
    partial = _partial(target)
    if partial.exists():
        try:
            left = storage.read_tensors(partial)[1]
        except BadFile:  # whoever resumes says so
            left = {}
        if left.get("tag") == tag:
            clock.start -= left["seconds"]
    return {"resume": partial, "tag": tag}


def resuming_attack(
    target: Path, clock: records.Clock, data: str, checkpoint: Path, *settings: Any
) -> dict[str, Any]:
    """The same for an attack on the model of a checkpoint; data: the digest of its data set's file."""
    return resuming(target, ATTACK, clock, *settings, data, storage.digest(checkpoint))


def written(target: Path) -> None:
    """Called when `target` is there: what was kept until then is deleted."""
    _partial(target).unlink(missing_ok=True)


def _partial(target: Path) -> Path:
    return target.with_suffix(".partial")
