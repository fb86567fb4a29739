"""A one-node Slurm of our own under a folder: no systemd, no database, ports of its own."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sinfo", "sbatch", "srun", "squeue", "scancel", "scontrol")
SBIN = "/usr/local/sbin:/usr/sbin:/sbin"

# The node claims more than this machine has (config_overrides): the profile asks for a cluster's sizes, and
# the jobs of the tests are small. GPU 0 is /dev/null.
CONFIG = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={node}
SlurmUser=root
AuthInfo=socket={folder}/munge.sock
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,bf_interval=1
ReturnToService=2
MailProg=/bin/true
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs=16 RealMemory=64000 Gres=gpu:1
PartitionName=cpu Nodes={host} Default=YES DefaultTime=10
PartitionName=gpu Nodes={host} DefaultTime=10
"""


class CannotStart(Exception):
    """Why there is no Slurm."""


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def _stop(pid_file: Path) -> None:
    with contextlib.suppress(OSError, ValueError):
        pid = int(pid_file.read_text())
        os.kill(pid, 15)
        for _ in range(50):
            time.sleep(0.1)
            os.kill(pid, 0)  # raises when it has gone
        os.kill(pid, 9)


@contextlib.contextmanager
def cluster(folder: Path) -> Iterator[dict[str, str]]:
    """The environment variables with which sbatch finds a running cluster, stopped at the end.

    The folder's path must be short: Unix sockets have at most 107 characters. Raises CannotStart.
    """
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"], SBIN])
    if missing := [name for name in PROGRAMS if not shutil.which(name, path=path)]:
        raise CannotStart(f"not installed: {', '.join(missing)} (Debian: slurm-wlm and munge)")
    if os.geteuid() != 0:
        raise CannotStart("its daemons start as root only")
    host = socket.gethostname().partition(".")[0]
    for name in ("state", "spool", "bin"):
        (folder / name).mkdir(parents=True)
    names = {"host": host, "folder": folder, "controller": _free_port(), "node": _free_port()}
    (folder / "slurm.conf").write_text(CONFIG.format(**names))
    # Slurm wants a file: a count alone leaves the node invalid.
    (folder / "gres.conf").write_text(f"NodeName={host} Name=gpu File=/dev/null\n")
    key = folder / "munge.key"
    key.touch(mode=0o600)
    key.write_bytes(secrets.token_bytes(128))
    # Jobs lose SLURM_CONF before their inner srun: a wrapper gives it back.
    srun = folder / "bin" / "srun"
    srun.write_text(
        f'#!/bin/sh\nSLURM_CONF={folder}/slurm.conf exec {shutil.which("srun", path=path)} "$@"\n'
    )
    srun.chmod(0o755)
    variables = {"PATH": f"{folder}/bin:{path}", "SLURM_CONF": f"{folder}/slurm.conf"}
    environment = os.environ | variables

    def start(*command: str) -> None:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=60
        )
        if done.returncode:
            raise CannotStart(f"{command[0]}: {(done.stdout + done.stderr).strip()}")

    try:
        files = {
            "socket": "munge.sock",
            "pid-file": "munged.pid",
            "log-file": "munged.log",
            "seed-file": "seed",
        }
        options = [f"--{option}={folder / name}" for option, name in files.items()]
        start("munged", "--force", f"--key-file={key}", *options)
        start("slurmctld")
        start("slurmd")
        for _ in range(100):
            state = subprocess.run(
                ["sinfo", "-h", "-o", "%T"], env=environment, capture_output=True, text=True, check=False
            ).stdout.split()
            if state and set(state) == {"idle"}:
                break
            time.sleep(0.2)
        else:
            raise CannotStart(
                f"its node is {state or 'unknown'}: {(folder / 'slurmd.log').read_text()[-2000:]}"
            )
        yield variables
    finally:
        for name in ("slurmd.pid", "slurmctld.pid", "munged.pid"):
            _stop(folder / name)
