"""The stages of the unsupervised experiments."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from uae.cli.common import Data, Device, Out, Seed, Settings, app, bar

Folder = Annotated[Path, typer.Option(help="The row's folder of checkpoints, by method.")]
Sets = Annotated[Path | None, typer.Option(help="The row's folder of UAE sets, by attack.")]
Checkpoint = Annotated[Path, typer.Option(help="The attacked model.")]


@app.command()
def train(
    data: Data,
    checkpoints: Folder,
    runs: Annotated[str, typer.Option(help="JSON list of method, draw and settings, from uae.config.")],
    uae: Sets = None,
    seed: Seed = 0,
    device: Device = "cpu",
) -> None:
    """Train autoencoders of one row, on the originals or on augmented sets."""
    from uae.stages import train as stage

    with bar("train") as progress:
        stage.train(
            data, checkpoints, runs=json.loads(runs), uae=uae, seed=seed, device=device, progress=progress
        )


@app.command()
def generate(
    data: Data,
    checkpoint: Checkpoint,
    out: Annotated[Path, typer.Option(help="The row's folder of UAE sets, by attack.")],
    attacks: Annotated[str, typer.Option(help="JSON settings of each attack, from uae.config.")],
    seed: Seed = 0,
    device: Device = "cpu",
) -> None:
    """Attack every training sample and write the UAE sets."""
    from uae.stages import generate as stage

    with bar("attack") as progress:
        stage.generate(
            data, checkpoint, out, attacks=json.loads(attacks), seed=seed, device=device, progress=progress
        )


@app.command()
def evaluate(
    checkpoints: Annotated[list[Path], typer.Argument(help="The original first.")],
    data: Data,
    uae: Annotated[Path, typer.Option(help="The row's folder of UAE sets, by attack.")],
    dataset: Annotated[str, typer.Option(help="The data set's name in the records.")],
    model: Annotated[str, typer.Option(help="The model's name in the records.")],
    records: Annotated[Path, typer.Option(help="The folder to write the records to.")],
    device: Device = "cpu",
) -> None:
    """Measure the checkpoints of one row and seed: a record each."""
    from uae.stages import evaluate as stage

    stage.evaluate(data, checkpoints, records, uae=uae, dataset=dataset, model=model, device=device)


@app.command()
def examples(
    data: Data,
    checkpoint: Checkpoint,
    uae: Annotated[Path, typer.Option(help="Its UAE set.")],
    method: Annotated[str, typer.Option(help="The method that made the set.")],
    out: Out,
) -> None:
    """Pick the images of Figure 5: the successful UAEs with the largest perturbation."""
    from uae.stages import evaluate as stage

    stage.examples(data, checkpoint, uae, out, method=method)


@app.command()
def stationarity(
    data: Data,
    checkpoint: Checkpoint,
    out: Out,
    settings: Settings,
    dataset: Annotated[str, typer.Option(help="The data set's name in the record.")],
    model: Annotated[str, typer.Option(help="The model's name in the record.")],
    method: Annotated[str, typer.Option(help="The attack's name in the record.")],
    samples: Annotated[int, typer.Option(help="Training samples, from the first.")],
    steps: Annotated[int, typer.Option(help="Attack steps.")],
    seed: Seed = 0,
    device: Device = "cpu",
) -> None:
    """Follow Theorem 1's measure of stationarity along a long attack."""
    from uae.stages import generate as stage

    stage.stationarity(
        data,
        checkpoint,
        out,
        settings=json.loads(settings),
        samples=samples,
        steps=steps,
        dataset=dataset,
        model_name=model,
        method=method,
        seed=seed,
        device=device,
    )
