"""`uae plan`: count the jobs and hours of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from uae.cli.common import USERS, ConfigFiles, OfFiles, app, configured, examples, say


@app.command(
    rich_help_panel=USERS,
    epilog=examples(
        "uae plan --scale reduced", "uae plan table4 --scale paper", "uae plan --only mnist/dense --json"
    ),
)
def plan(
    items: Annotated[
        list[str] | None, typer.Argument(help="Tables and figures: table4 figure9. Default: all.")
    ] = None,
    scale: OfFiles = None,
    only: Annotated[
        str | None, typer.Option(help="Rows, as in --config only: mnist/dense, */sparse.")
    ] = None,
    configfile: ConfigFiles = None,
    results: Annotated[Path, typer.Option(help="The folder of all scales' records.")] = Path("results"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Count the jobs of a run, and their GPU and CPU hours if these were measured.

    The hours come from the records in --results. Downloads, preparation and rendering are left out.
    """
    from uae import plan as planning
    from uae.plan import hours

    cfg = configured(configfile, scale=scale, only=only)
    jobs = planning.plan(cfg)
    if items:
        jobs = _behind(jobs, items)
    runs = hours.runs(results)
    if not runs:
        say(f"{results}: no records, so no hours are known; --results names the folder of all scales")
    stages = hours.by_stage(jobs, runs)
    devices = sorted({run.device for run in runs})
    if as_json:
        found = {name: _dictionary(stage) for name, stage in stages.items()}
        print(json.dumps({"scale": cfg.name, "stages": found, "measured_on": devices}, indent=1))
    else:
        _print(f"Scale {cfg.name}" + f": {', '.join(items or [])}" * bool(items), stages, devices)


def _behind(jobs: dict[str, Any], names: list[str]) -> dict[str, Any]:
    """The jobs that tables and figures depend on. Raises InputError for a name that no item has."""
    from uae import plan
    from uae.paper import layouts, render

    for name in names:
        render.check_name(name)
    shown = [
        path
        for path, job in jobs.items()
        if job.stage == "evaluate" and any(layouts.shows(name, path) for name in names)
    ]
    return plan.behind(jobs, shown)


def _dictionary(stage: Any) -> dict[str, Any]:
    """A stage for JSON. Hours are null if no job was measured on the device."""
    found = {"jobs": stage.jobs, "measured": stage.measured, "scaled": stage.scaled}
    for device, count in stage.counted.items():
        found |= {f"{device}_jobs": count, f"{device}_hours": stage.hours[device] if count else None}
    return found | {"not_measured": stage.jobs - stage.measured - stage.scaled, "rows": sorted(stage.missing)}


def _print(title: str, stages: dict[str, Any], devices: list[str]) -> None:
    heads = ("jobs", "GPU hours (jobs)", "CPU hours (jobs)", "measured", "scaled", "not measured")
    table = Table("stage", title=title)
    for head in heads:
        table.add_column(head, justify="right")
    for name, stage in stages.items():
        hours = [_hours(stage.hours[device], stage.counted[device]) for device in stage.hours]
        missing = stage.jobs - stage.measured - stage.scaled
        table.add_row(name, str(stage.jobs), *hours, str(stage.measured), str(stage.scaled), str(missing))
    from uae.paper.names import device_of

    lines = ["Hours are sums over jobs. A job that was measured on both devices counts in both columns."]
    if any(stage.scaled for stage in stages.values()):
        lines.append(
            "Scaled: the job was measured in another size, and its time is multiplied by the ratio of "
            "samples × steps."
        )
    if devices:
        lines.append(f"Measured on: {'; '.join(map(device_of, devices))}.")
    for name, stage in stages.items():
        # For records it names experiments, because their rows would fill a page.
        missing = {row.partition("/")[0] if name == "evaluate" else row for row in stage.missing}
        if missing:
            lines.append(f"Not measured, {name}: {', '.join(sorted(missing))}.")
    out = Console()
    out.print(table)
    for line in lines:
        out.print(line, markup=False, highlight=False, soft_wrap=True)


def _hours(hours: float, jobs: int) -> str:
    """A table's cell.

    >>> _hours(1489.6, 75), _hours(0.00394, 1), _hours(0, 0)
    ('1,490 (75)', '0.0039 (1)', 'not measured')
    """
    return f"{hours:,.0f} ({jobs})" if hours >= 100 else f"{hours:.2g} ({jobs})" if jobs else "not measured"
