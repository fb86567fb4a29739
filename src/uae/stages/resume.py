"""Resume interrupted trainings and attacks, from a partial file beside the result."""

from __future__ import annotations

import atexit
import contextlib
import functools
import hashlib
import json
import logging
import os
from pathlib import Path
from typing import Any

import torch

from uae import locks, records, sources, storage
from uae.errors import BadFile, InputError

# The modules that train and attack. A state from other code, that of their imports included, is not resumed.
TRAINING = ("uae.stages.train",)
ATTACK = ("uae.stages.attack",)


def resuming(target: Path, code: tuple[str, ...], clock: records.Clock, *inputs: Any) -> dict[str, Any]:
    """The options `resume` and `tag` of a training or an attack whose result goes to `target`.

    code: modules of `uae`. The versions of the packages count, too, but not the number of threads: the
    tag ends with the numbers of all processes so far, for the record.
    clock: its start is set back by the seconds of the resumed work.
    inputs: JSON values: everything, except the code, that determines the result.
    Raises InputError while another process writes `target`.
    """
    _claim(target)
    content = [inputs, _digests(*code), records.versions()]
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    partial, clock.threads = _partial(target), {torch.get_num_threads()}
    left: dict[str, Any] = {}
    if partial.exists():
        with contextlib.suppress(BadFile):  # the resuming code reports it
            arrays, left = storage.read_tensors(partial)
    before, _, threads = str(left.get("tag")).partition(" ")
    if before == digest:
        clock.start -= left["seconds"]
        clock.threads |= set(map(int, threads.split(",")))
    tag = f"{digest} {','.join(map(str, sorted(clock.threads)))}"
    if before == digest and left["tag"] != tag:
        storage.write_tensors(partial, arrays, left | {"tag": tag})
    return {"resume": partial, "tag": tag}


@functools.cache  # a process runs the code of its start, whatever is edited meanwhile
def _digests(*code: str) -> list[str]:
    return [storage.digest(path) for path in sources.of(*code)]


def resuming_attack(
    target: Path, clock: records.Clock, data: str, checkpoint: Path, *settings: Any
) -> dict[str, Any]:
    """The same options for an attack on a checkpoint's model. data: the digest of the data set's file."""
    return resuming(target, ATTACK, clock, *settings, data, storage.digest(checkpoint))


def written(target: Path) -> None:
    """Delete the partial file of `target`, once that is written."""
    _partial(target).unlink(missing_ok=True)
    _release(target.resolve())


def _partial(target: Path) -> Path:
    return target.with_name(f"{target.name}.partial")


_claims: dict[Path, tuple[int, list[Path]]] = {}  # the open lock file, and the folders made for it


def _claim(target: Path) -> None:
    """Keep other processes from writing `target`, by a lock file beside it.

    If Snakemake alone is killed, its jobs keep running and would overwrite the results of the next run.
    """
    target = target.resolve()
    if target in _claims:
        return
    path = _lock_file(target)
    made = [folder for folder in path.parents if not folder.exists()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            descriptor = locks.open_lock(path)
            held = locks.lock(descriptor)
            if held is False:
                process = os.pread(descriptor, 32, 0).decode() or "?"  # it started a moment ago
                os.close(descriptor)
                raise InputError(
                    f"{target}: process {process} is writing it, perhaps left over from a killed run; "
                    f"wait for it or end it (kill {process}), then repeat the command"
                )
            if locks.there(descriptor, path):
                break
            os.close(descriptor)  # its previous holder deleted it
        _claims[target] = descriptor, made  # the disk may be full: the lock file is then deleted at the end
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
    except OSError as error:
        raise OSError(error.errno, f"cannot write {target}: {error.strerror}") from error
    if held is None:
        logging.getLogger(__name__).warning(
            "%s: its file system has no locks; do not start two runs that write it", target
        )


def _lock_file(target: Path) -> Path:
    return target.with_name(f".{target.name}.lock")


def _release(target: Path) -> None:
    """Delete the lock file of `target`, and the folders that were made for it if they are empty."""
    if target not in _claims:
        return
    descriptor, made = _claims.pop(target)
    _lock_file(target).unlink(missing_ok=True)  # while the lock is held
    os.close(descriptor)
    with contextlib.suppress(OSError):
        for folder in made:
            folder.rmdir()


@atexit.register
def _release_all() -> None:
    for target in list(_claims):
        _release(target)
