"""Commands for raw data, prepared data and published checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from uae.cli.common import STAGES, USERS, Out, app, examples


@app.command(
    rich_help_panel=STAGES,
    epilog=examples("uae fetch svhn test_32x32.mat --out data/raw/svhn/test_32x32.mat"),
)
def fetch(
    data: Annotated[str, typer.Argument(help="A data set or a published model of the catalogue.")],
    name: Annotated[str, typer.Argument(help="One of its files.")],
    out: Out,
    mirror: Annotated[
        str | None, typer.Option(envvar="UAE_DATA_MIRROR", help="Folder or URL to try first.")
    ] = None,
) -> None:
    """Download one raw file, from the mirror or from its publisher, and check it."""
    from uae.data import fetch as fetching

    fetching.fetch(data, name, out, mirror)


@app.command(
    rich_help_panel=STAGES,
    epilog=examples("uae prepare mnist@10000 --out data/prepared/mnist@10000.safetensors"),
)
def prepare(
    data: Annotated[str, typer.Argument(help="A data name: mnist, mnist@10000, mnist-5k, …")],
    out: Out,
    raw: Annotated[Path, typer.Option(help="The folder of raw files.")] = Path("data/raw"),
) -> None:
    """Turn the raw files of a data set into one checked safetensors file."""
    from uae.data import catalogue, prepared

    prepared.prepare(data, raw / catalogue.folder(data), out)


@app.command(
    rich_help_panel=USERS,
    epilog=examples("uae import-checkpoint model_mnist.pt --name trades-mnist --out trades.safetensors"),
)
def import_checkpoint(
    file: Annotated[Path, typer.Argument(help="A published PyTorch file.")],
    name: Annotated[str, typer.Option(help="The model: trades-mnist, trades-cifar10 or advertorch-mnist.")],
    out: Out,
) -> None:
    """Convert a published checkpoint to safetensors. No code of the file runs."""
    from uae import checkpoints, upstream

    checkpoints.save(out, *upstream.convert(file, name))
