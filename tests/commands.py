"""`snakemake` and `uae` as commands, without the seconds that each would spend on its imports.

A server process imports Snakemake and PyTorch once. For each command it forks a process, which then has a
folder, an environment, arguments and files for its output, as a new one would.
"""

from __future__ import annotations

import atexit
import importlib
import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

PROGRAMS = {"snakemake": "snakemake.cli", "uae": "uae.__main__"}
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["snakemake.cli", "torch", "typer", "rich.progress"])
ROOT = Path(__file__).parents[1]


def run(
    command: Sequence[str], folder: Path, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end. A program without a server here starts as usual."""
    command = list(map(str, command))
    if command[0] not in PROGRAMS:
        return subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
    with tempfile.TemporaryDirectory() as output:
        files = [str(Path(output, name)) for name in ("stdout", "stderr")]
        process = SERVER.Process(target=_forked, args=(command, str(folder), dict(environment), files))
        process.start()
        process.join()
        texts = [Path(file).read_text(encoding="utf-8") for file in files]
    return subprocess.CompletedProcess(command, process.exitcode, *texts)


def _forked(command: list[str], folder: str, environment: dict[str, str], files: list[str]) -> None:
    for number, file in enumerate(files, 1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), number)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    given = [path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.path[:] = given + [path for path in sys.path if path not in ("", str(ROOT), *given)]
    sys.argv = command
    try:
        importlib.import_module(PROGRAMS[command[0]]).main()
    finally:
        atexit._run_exitfuncs()  # processes of multiprocessing end without them
