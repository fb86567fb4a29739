"""What a killed training or attack goes on from: a file beside the one that it writes."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import IO, Any

import uae
from uae import records, storage
from uae.errors import BadFile, InputError

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
    Raises InputError while another process makes `target`.
    """
    _claim(target)
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
    if claimed := _claims.pop(target.resolve(), None):
        claimed.close()


def _partial(target: Path) -> Path:
    return target.with_name(f"{target.name}.partial")


_claims: dict[Path, IO[str]] = {}  # open files; their locks end with the process at the latest


def _claim(target: Path) -> None:
    """Keep other processes of this machine from making `target`.

    The jobs of a Snakemake that was killed alone live on, and would overwrite what the next run makes.
    """
    target = target.resolve()
    if target in _claims:
        return
    folder = Path(tempfile.gettempdir()) / f"uae-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    file = (folder / f"{hashlib.sha256(str(target).encode()).hexdigest()}.lock").open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        process = file.read()
        file.close()
        raise InputError(
            f"{target}: process {process} is making it, perhaps left by a run that was killed; wait for it, "
            f"or end it (kill {process}), then start again"
        ) from None
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    _claims[target] = file
