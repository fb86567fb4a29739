"""The stage of the contrastive experiment that is not that of other models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from uae.cli.common import STAGES, Data, Device, Made, Settings, app, bar


@app.command("evaluate-simclr", rich_help_panel=STAGES)
def evaluate(
    checkpoints: Annotated[list[Path], typer.Argument(help="SimCLR models.")],
    data: Data,
    uae: Annotated[Path, typer.Option(help="The folder of UAE sets, by attack.")],
    dataset: Annotated[str, typer.Option(help="The data set's name in the records.")],
    records: Annotated[Path, typer.Option(help="The folder to write the records to.")],
    settings: Settings,
    device: Device = "cpu",
    made: Made = "{}",
) -> None:
    """Measure SimCLR models: Table 7 and Figure 10 (b), a record each."""
    from uae.stages import evaluate_simclr as stage

    with bar("evaluate") as progress:
        stage.evaluate(
            data, checkpoints, records,
            uae=uae, dataset=dataset, settings=json.loads(settings), device=device, progress=progress,
        )  # fmt: skip
