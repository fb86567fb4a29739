"""The stages of the robustness experiments, and published checkpoints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from uae.cli.common import STAGES, USERS, Device, Made, Out, Seed, app, bar

Folder = Annotated[Path, typer.Option(help="The folder of the robust models' checkpoints.")]


@app.command(rich_help_panel=STAGES)
def train_robust(
    checkpoints: Folder,
    runs: Annotated[str, typer.Option(help="JSON list of runs and their settings, from uae.config.")],
    uae: Annotated[Path | None, typer.Option(help="UAE set of the runs with method mine-uae.")] = None,
    seed: Seed = 0,
    device: Device = "cpu",
    made: Made = "{}",
) -> None:
    """Train classifiers, with or without an adversary, on the originals or on augmented sets."""
    from uae.stages import train_robust as stage

    with bar("train") as progress:
        stage.train(checkpoints, runs=json.loads(runs), uae=uae, seed=seed, device=device, progress=progress)


@app.command(rich_help_panel=STAGES)
def attack_robust(
    checkpoints: Folder,
    rows: Annotated[str, typer.Option(help="JSON list of models and their settings, from uae.config.")],
    records: Annotated[Path, typer.Option(help="The scale's folder of records.")],
    seed: Seed = 0,
    device: Device = "cpu",
    made: Made = "{}",
) -> None:
    """Attack trained models over eps and check the attacks: records, and the images of Figure 6."""
    from uae.stages import attack_robust as stage

    with bar("attack") as progress:
        stage.attack(checkpoints, records, rows=json.loads(rows), seed=seed, device=device, progress=progress)


@app.command(rich_help_panel=USERS)
def import_checkpoint(
    file: Annotated[Path, typer.Argument(help="A published PyTorch file.")],
    name: Annotated[str, typer.Option(help="What it is: trades-mnist or trades-cifar10.")],
    out: Out,
) -> None:
    """Convert a published TRADES checkpoint to safetensors; nothing in the file is run."""
    from uae import checkpoints, upstream
    from uae.errors import InputError

    if name not in upstream.architectures():
        raise InputError(f"--name {name!r} is none of {', '.join(upstream.architectures())}")
    checkpoints.save(out, *upstream.convert(file, name))
