"""The command `uae`. Heavy modules are imported by the commands that need them."""

from __future__ import annotations

import gc
import importlib
import logging
import os
import sys

from rich.logging import RichHandler

from uae.cli import streams
from uae.cli.common import app, console
from uae.errors import InputError

# These modules register their commands. `uae --help` lists them in this order.
for name in ("own", "render", "verify", "plan", "metrics", "curves", "check", "data", "run"):
    importlib.import_module(f"uae.cli.{name}")


def main() -> None:
    # Collecting garbage takes a tenth of PyTorch's import, and imports leave none. `stages.use` enables it.
    gc.disable()
    # Before PyTorch is imported: its OpenMP threads spin for milliseconds after an operation, and our threads
    # need the cores. A short spin still bridges the gaps between small operations (benchmarks/README.md).
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "20000")
    logging.basicConfig(level="WARNING", format="%(message)s", handlers=[RichHandler(console=console)])
    try:
        to_files = any(argument.startswith(("--out", "--tensorboard")) for argument in sys.argv)
        prints = sys.argv[1:2] in (["config"], ["curves"], ["verify"], ["plan"])
        streams.prepare(result_on_stdout=prints and not to_files)
        try:
            app(standalone_mode=True)
        finally:
            sys.stdout.flush()
    except (InputError, OSError) as error:
        console.print("error:", style="bold red", end=" ")
        console.print(str(error), markup=False, highlight=False, soft_wrap=True)
        streams.Display(sys.stdout).flush()  # otherwise the stream fails again at exit
        sys.exit(1)
