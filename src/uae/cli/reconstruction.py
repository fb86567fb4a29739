"""The stages of the unsupervised experiments."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from uae.cli.common import STAGES, Data, Device, Made, Out, Seed, Settings, app, bar

Checkpoint = Annotated[Path, typer.Option(help="The attacked model.")]


@app.command(rich_help_panel=STAGES)
def make(
    data: Data,
    checkpoints: Annotated[Path, typer.Option(help="The row's folder of checkpoints, by method.")],
    uae: Annotated[Path, typer.Option(help="The row's folder of UAE sets, by attack.")],
    steps: Annotated[str, typer.Option(help="JSON list of trainings and attacks, from uae.config.")],
    seed: Seed = 0,
    device: Device = "cpu",
    made: Made = "{}",
) -> None:
    """Train the models of one row, attack them and retrain them, step by step."""
    from uae.stages.generate import generate
    from uae.stages.train import train

    common = {"seed": seed, "device": device}
    for step in json.loads(steps):
        if "runs" in step:
            with bar("train") as progress:
                train(data, checkpoints, runs=step["runs"], uae=uae, progress=progress, **common)
        else:
            attacked = checkpoints / step["attacked"] / f"seed{seed}.safetensors"
            with bar("attack") as progress:
                generate(data, attacked, uae, attacks=step["attacks"], progress=progress, **common)


@app.command(rich_help_panel=STAGES)
def evaluate(
    checkpoints: Annotated[list[Path], typer.Argument(help="The original first.")],
    data: Data,
    uae: Annotated[Path, typer.Option(help="The row's folder of UAE sets, by attack.")],
    dataset: Annotated[str, typer.Option(help="The data set's name in the records.")],
    model: Annotated[str, typer.Option(help="The model's name in the records.")],
    records: Annotated[Path, typer.Option(help="The folder to write the records to.")],
    device: Device = "cpu",
    made: Made = "{}",
) -> None:
    """Measure the checkpoints of one row and seed: a record each."""
    from uae.stages import evaluate as stage

    stage.evaluate(data, checkpoints, records, uae=uae, dataset=dataset, model=model, device=device)


@app.command(rich_help_panel=STAGES)
def examples(
    data: Data,
    checkpoint: Checkpoint,
    uae: Annotated[Path, typer.Option(help="Its UAE set.")],
    method: Annotated[str, typer.Option(help="The method that made the set.")],
    out: Out,
    made: Made = "{}",
) -> None:
    """Pick the images of Figure 5: the successful UAEs with the largest perturbation."""
    from uae.stages import evaluate as stage

    stage.examples(data, checkpoint, uae, out, method=method)


@app.command(rich_help_panel=STAGES)
def estimator(
    settings: Settings,
    records: Annotated[Path, typer.Option(help="The folder of the trial's records.")],
    seed: Seed = 0,
) -> None:
    """Try per-sample MINE on pairs whose mutual information is known, on the CPU."""
    from uae.stages import estimator as stage

    with bar("estimator") as progress:
        stage.estimator(records, **json.loads(settings), seed=seed, progress=progress)


@app.command(rich_help_panel=STAGES)
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
    horizon: Annotated[
        list[int] | None, typer.Option(help="Also T steps under the theorem's conditions; several times.")
    ] = None,
    warm_up: Annotated[int, typer.Option(help="Attack steps until the critic is frozen there.")] = 40,
    seed: Seed = 0,
    device: Device = "cpu",
    made: Made = "{}",
) -> None:
    """Follow Theorem 1's measure of stationarity along a long attack."""
    from uae.stages import stationarity as stage

    stage.stationarity(
        data,
        checkpoint,
        out,
        settings=json.loads(settings),
        samples=samples,
        steps=steps,
        horizons=horizon or [],
        warm_up=warm_up,
        dataset=dataset,
        model_name=model,
        method=method,
        seed=seed,
        device=device,
    )
