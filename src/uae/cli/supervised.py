"""The stages of the supervised experiments."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from uae.cli.common import STAGES, Data, Device, Made, Out, Seed, Settings, app, bar
from uae.cli.reconstruction import Checkpoint


@app.command("train-classifier", rich_help_panel=STAGES)
def train_classifier(
    data: Data, out: Out, settings: Settings, seed: Seed = 0, device: Device = "cpu"
) -> None:
    """Train Carlini and Wagner's classifier, which Tables 1 to 3 attack."""
    from uae.stages import train_classifier as stage

    with bar("train") as progress:
        stage.train(data, out, settings=json.loads(settings), seed=seed, device=device, progress=progress)


@app.command("attack-classifier", rich_help_panel=STAGES)
def attack_classifier(
    data: Data,
    checkpoint: Checkpoint,
    out: Annotated[Path, typer.Option(help="The classifier's folder of example sets, by attack.")],
    sets: Annotated[str, typer.Option(help="JSON list of name, draw and settings, from uae.config.")],
    seed: Seed = 0,
    device: Device = "cpu",
    made: Made = "{}",
) -> None:
    """Attack test images that a classifier gets right, and write the example sets."""
    from uae.stages import attack_classifier as stage

    with bar("attack") as progress:
        stage.attack(
            data, checkpoint, out, sets=json.loads(sets), seed=seed, device=device, progress=progress
        )


@app.command("measure-classifier", rich_help_panel=STAGES)
def measure_classifier(
    data: Data,
    checkpoint: Checkpoint,
    sets: Annotated[Path, typer.Option(help="The classifier's folder of example sets, by attack.")],
    records: Annotated[Path, typer.Option(help="The scale's folder of records.")],
    dataset: Annotated[str, typer.Option(help="The data set's name in the records.")],
    items: Annotated[str, typer.Option(help="JSON settings of each table and figure, from uae.config.")],
    other: Annotated[
        str, typer.Option(help="JSON: the row of Table 4 that Table 1 shows, by its names and files.")
    ] = "{}",
    device: Device = "cpu",
    made: Made = "{}",
) -> None:
    """Measure the example sets of a classifier: records, curves and images."""
    from uae.stages import measure_classifier as stage

    attacked = stage.Attacked(data, checkpoint, sets, records, dataset, device)
    for item, settings in json.loads(items).items():
        extra = {"other": json.loads(other)} if item == "table1" else {}
        stage.ITEMS[item](attacked, **settings, **extra)
