"""`uae metrics`: write the headline numbers of a scale."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from uae.cli.common import USERS, Fill, Out, app, examples, filling_scale


@app.command(rich_help_panel=USERS, epilog=examples("uae metrics results/paper --out metrics.json"))
def metrics(
    results: Annotated[Path, typer.Argument(help="The scale's folder, results/<scale>.")],
    out: Out,
    fill: Fill = None,
) -> None:
    """Write the headline numbers, which `dvc metrics` compares: errors, success rates, verdicts."""
    from uae.paper import metrics as rendering

    results = results.absolute()  # the name of `.` is empty
    rendering.write(results, out, filling_scale(results, fill))
