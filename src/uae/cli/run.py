"""The stages of the workflow."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from uae.cli.common import STAGES, Device, Made, app, bar, examples, parsed


@app.command(
    rich_help_panel=STAGES,
    epilog=examples("uae run '[]'") + "\n\n`snakemake -n -p` prints the call of each job.",
)
def run(
    jobs: Annotated[
        str, typer.Argument(help="A JSON list of jobs, see uae.plan.Job.", metavar="JOBS", callback=parsed)
    ],
    device: Device = "cpu",
    made: Made = "{}",
) -> None:
    """Train, attack or evaluate: run jobs one after another. Each job writes one file."""
    if device == "cuda":
        from uae import gpus

        gpus.take()  # before torch is imported
    for job in json.loads(jobs):
        output = Path(job["output"])
        stage = importlib.import_module(f"uae.stages.{job['stage']}")
        inputs = {name: _paths(value) for name, value in job["inputs"].items()}
        with bar(f"{job['stage']} {output.parent.name} {output.stem}") as progress:
            stage.run(output, settings=job["settings"], device=device, progress=progress, **inputs)


def _paths(value: str | list[str]) -> Any:
    return [Path(path) for path in value] if isinstance(value, list) else Path(value)
