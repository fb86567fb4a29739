"""Assign a GPU to each job of a host: a job locks a slot of a device, and the lock ends with the process.

Snakemake counts GPU jobs (`--resources gpu=4`) but does not choose their devices. The devices are those
that CUDA_VISIBLE_DEVICES lists, or else all of the host. In a batch job the batch system sets the list, and
the slots of other jobs do not count. If it sets none, nothing is changed.
"""

from __future__ import annotations

import logging
import os
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from uae import locks
from uae.config import gpu
from uae.errors import InputError

log = logging.getLogger(__name__)

VISIBLE, SHARE = "CUDA_VISIBLE_DEVICES", "UAE_GPU_SHARE"
# Slurm, PBS, LSF and Grid Engine name their jobs in these variables; a step of Slurm has separate devices.
BATCH = ("SLURM_JOB_ID", "SLURM_STEP_ID", "PBS_JOBID", "LSB_JOBID", "JOB_ID")
SECONDS_BETWEEN_LOOKS = 0.5

_held: list[int] = []  # open lock files; the kernel closes them when the process ends, also after SIGKILL


def devices(environment: Mapping[str, str] = os.environ) -> list[str]:
    """The devices that a process may take, by their names in CUDA_VISIBLE_DEVICES: indices or UUIDs."""
    if VISIBLE in environment:
        listed = [name.strip() for name in environment[VISIBLE].split(",")]
        return list(dict.fromkeys(listed[: listed.index("-1")] if "-1" in listed else filter(None, listed)))
    if batch(environment):
        return []
    # Another process counts them, because CUDA reads the variable only once, when it starts.
    counted = subprocess.run(
        [sys.executable, "-P", gpu.__file__], capture_output=True, text=True, check=False
    )
    return [str(index) for index in range(int(counted.stdout or 0))]


def batch(environment: Mapping[str, str] = os.environ) -> str:
    """The names of the process's batch job and its step; empty outside a batch job."""
    return "-".join(environment[name] for name in BATCH if environment.get(name))


def take(folder: Path | None = None) -> str | None:
    """Set CUDA_VISIBLE_DEVICES to a free device until the process ends. None without devices.

    UAE_GPU_SHARE: how many jobs may share a device, 1 by default. The job takes the emptiest device. If all
    are full, it takes the first that becomes free.
    folder: the folder of the locks.  Raises InputError if other users can write to it, or if its file system
    has no locks.
    """
    names = devices()
    if not names:
        return None
    share, folder = int(os.environ.get(SHARE) or 1), _own(folder)
    waiting = False
    while (name := _free(names, share, folder)) is None:
        if not waiting:
            log.warning("waiting for a GPU: the slots of all %d are taken (gpu_share: %d)", len(names), share)
        waiting = True
        time.sleep(SECONDS_BETWEEN_LOOKS)
    os.environ[VISIBLE] = name
    return name


def _free(names: list[str], share: int, folder: Path) -> str | None:
    """Lock the first free slot: the first slots of all devices come before the second ones."""
    for number in range(share):
        for name in names:
            slot = "-".join(filter(None, [batch(), name, str(number)])).replace("/", "_")
            descriptor = locks.open_lock(folder / f"{slot}.lock")
            held = locks.lock(descriptor)
            if held:
                _held.append(descriptor)
                return name
            os.close(descriptor)
            if held is None:
                raise InputError(f"{folder}: its file system has no locks; set TMPDIR to a local folder")
    return None


def _own(folder: Path | None) -> Path:
    """A private folder for the locks, in the host's folder of temporary files."""
    folder = folder or Path(tempfile.gettempdir()) / f"uae-gpus-{os.geteuid()}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise InputError(f"{folder}: not a folder that only this user can write to; delete it, or set TMPDIR")
    return folder
