"""`uae curves`: write the losses of trainings, read from their checkpoints."""

from __future__ import annotations

import csv
import io
import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from uae.cli.common import USERS, app, examples, say
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
    runs = {path: reading.of_checkpoint(path) for path in found}
    if tensorboard:
        count = _events(runs, tensorboard)
        say(f"{count} runs; see them with: tensorboard --logdir {shlex.quote(str(tensorboard))}")
        return
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(reading.Point._fields)
    rows.writerows(point for run in runs.values() for point in run)
    if out:
        storage.write_text(out, text.getvalue())
        say(f"{out}: {len(found)} checkpoints")
    else:
        print(text.getvalue(), end="")


def _events(runs: dict[Path, list[Any]], folder: Path) -> int:
    """Write one TensorBoard run per training, in a folder named after its checkpoint; returns their number.

    Older files are replaced. A converted model has no curve.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise InputError("--tensorboard: TensorBoard is not installed; pip install tensorboard") from None
    written = {path: run for path, run in runs.items() if run}
    for path, run in written.items():
        scale, _, place = path.absolute().with_suffix("").as_posix().rpartition("/checkpoints/")
        target = folder / Path(scale).name / place
        for older in target.glob("events.out.tfevents.*"):
            older.unlink()
        with SummaryWriter(target) as writer:
            for point in run:
                writer.add_scalar("training loss", point.loss, point.epoch)
    return len(written)
