"""`uae curves`: write the losses of trainings, read from their checkpoints."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Annotated, Any

import typer

from uae.cli.common import USERS, app, console, examples
from uae.errors import InputError


@app.command(
    rich_help_panel=USERS,
    epilog=examples(
        "uae curves results/preview/checkpoints --out curves.csv",
        "uae curves results/preview/checkpoints/mnist/dense --tensorboard runs",
    ),
)
def curves(
    inputs: Annotated[list[Path], typer.Argument(help="Checkpoints, or folders of them.")],
    out: Annotated[
        Path | None, typer.Option(help="The CSV file to write. Default: standard output.", dir_okay=False)
    ] = None,
    tensorboard: Annotated[
        Path | None, typer.Option(help="Write TensorBoard's event files to this folder instead.")
    ] = None,
) -> None:
    """Write the training loss of every epoch of checkpoints, as CSV or for TensorBoard."""
    from uae import curves as reading
    from uae import storage

    if out and tensorboard:
        raise InputError("--out and --tensorboard: give one of them")
    found: list[Path] = []
    for path in inputs:
        found += sorted(path.rglob("*.safetensors")) if path.is_dir() else [path]
    found = [path for path in dict.fromkeys(found) if not path.name.startswith(".")]
    if not found:
        raise InputError(f"{', '.join(map(str, inputs))}: no checkpoints; train models first")
    points = [reading.of_checkpoint(path) for path in found]
    if tensorboard:
        _events(points, tensorboard)
        console.print(f"{len(points)} runs; see them with: tensorboard --logdir {tensorboard}", markup=False)
        return
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(reading.Point._fields)
    rows.writerows(point for run in points for point in run)
    if out:
        storage.write_text(out, text.getvalue())
        console.print(f"{out}: {len(found)} checkpoints", markup=False, highlight=False)
    else:
        print(text.getvalue(), end="")


def _events(runs: list[list[Any]], folder: Path) -> None:
    """Write one TensorBoard run per training, in a folder named after it. Older files are replaced."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise InputError("--tensorboard: TensorBoard is not installed; pip install tensorboard") from None
    for run in filter(None, runs):
        first = run[0]
        name = f"seed{first.seed}" + (f"-draw{first.draw}" if first.draw is not None else "")
        target = folder / first.dataset / first.model / first.method / name
        for older in target.glob("events.out.tfevents.*"):
            older.unlink()
        with SummaryWriter(target) as writer:
            for point in run:
                writer.add_scalar("training loss", point.loss, point.epoch)
