"""`uae verify`: test the paper's claims on the records of a scale."""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from uae.cli import scales
from uae.cli.common import USERS, Fill, app, examples, say
from uae.cli.render import Scale
from uae.errors import InputError

if TYPE_CHECKING:
    from uae.paper.claims import Verdict

COLOURS = {
    "reproduced": "green",
    "in agreement": "yellow",
    "partly": "yellow",
    "inconclusive": "yellow",
    "not reproduced": "red",
    "no perturbation": "dim",
}


@app.command(
    rich_help_panel=USERS,
    epilog=examples(
        "uae verify", "uae verify --scale preview", "uae verify --scale paper --strict --format markdown"
    ),
)
def verify(
    scale: Scale = None,
    results: Annotated[Path, typer.Option(help="The folder of all scales.")] = Path("results"),
    fill: Fill = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 unless the paper's claims hold with its settings.")
    ] = False,
    output: Annotated[str, typer.Option("--format", help="table, json or markdown.")] = "table",
) -> None:
    """Test each claim of the paper on the records.

    The verdicts: reproduced, in agreement, partly, inconclusive, not reproduced, no perturbation, not run.
    """
    from uae.paper import claims, filling, verdicts

    if output not in ("table", "json", "markdown"):
        close = difflib.get_close_matches(output, ("table", "json", "markdown"), n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise InputError(f"--format {output!r} is not one of table, json, markdown{hint}")
    scale, filler, said = scales.chosen(results, scale, fill)
    loaded = [*filling.load(results / scale, filler).values()]
    by_settings = {name: claims.evaluate(loaded, settings=name) for name in verdicts.SETTINGS}
    if output == "json":
        print(json.dumps({s: [v.as_dict() for v in found] for s, found in by_settings.items()}, indent=1))
    elif output == "markdown":
        print(markdown(by_settings))
    else:
        _print(by_settings, scale)
    small = "; the preview shows that the pipeline works, not what reproduces" if scale == "preview" else ""
    say(f"{len(loaded)} records: {said}{small}")
    bad = [
        v
        for v in by_settings["paper"]
        if not v.claim.ours and v.verdict not in (claims.REPRODUCED, claims.AGREES)
    ]
    if strict and bad:
        raise typer.Exit(1)


def _shown(verdict: Verdict) -> tuple[str, str]:
    """Our numbers and the paper's: the rows that ran, and the count of those that did not."""
    from uae.paper import claims, verdicts

    ran = [row for row in verdict.rows if row.state != claims.NOT_RUN]
    ours = [verdicts.row_text(verdict.claim, row) for row in ran]
    missing = len(verdict.rows) - len(ran)
    ours += [f"{missing} of {len(verdict.rows)} rows not run"] if missing else []
    return "\n".join(ours), "\n".join(verdicts.paper_texts(verdict.claim, ran))


def _print(by_settings: dict[str, list[Verdict]], scale: str) -> None:
    from uae.paper import claims, verdicts

    out = Console()
    for settings, found in by_settings.items():
        ran = [v for v in found if v.verdict != claims.NOT_RUN]
        if settings != "paper" and not ran:
            continue  # the part with the authors' settings is an addition
        title = f"{scale}: the paper's claims, {verdicts.SETTINGS[settings]}"
        table = Table(title=title, caption=verdicts.LEGEND, show_lines=True)
        for head in ("verdict", "claim", "ours", "paper"):
            table.add_column(head, overflow="fold")
        for v in ran:
            claim = Text(v.claim.statement).append("\n" + verdicts.where(v.claim), style="dim")
            table.add_row(
                Text(verdicts.verdict_text(v), style=COLOURS[v.verdict]), claim, *map(Text, _shown(v))
            )
        out.print(table)
        out.print(f"The paper's claims: {verdicts.counts(found)}.")
    if absent := [v.claim for v in by_settings["paper"] if v.verdict == claims.NOT_RUN]:
        out.print("\nNot run:")
        lines = [f"- {claim.statement} ({verdicts.where(claim)})" for claim in absent]
        out.print(Text("\n".join(lines), style="dim"))


def markdown(by_settings: dict[str, list[Verdict]]) -> str:
    """The verdicts as Markdown tables; a list at the end has the claims that were not run."""
    from uae.paper import claims, verdicts

    lines = []
    for settings, found in by_settings.items():
        ran = [v for v in found if v.verdict != claims.NOT_RUN]
        if not ran:
            continue
        lines += [
            f"### {verdicts.SETTINGS[settings]}",
            "",
            f"The paper's claims: {verdicts.counts(found)}.",
            "",
        ]
        lines += ["| verdict | claim | ours | paper |", "|---|---|---|---|"]
        for v in ran:
            ours, paper = (text.replace("|", r"\|").replace("\n", "<br>") for text in _shown(v))
            claim = f"{v.claim.statement} ({verdicts.where(v.claim)})"
            lines.append(f"| {verdicts.verdict_text(v)} | {claim} | {ours} | {paper} |")
        lines += ["", verdicts.LEGEND, ""]
    absent = [v.claim for v in by_settings["paper"] if v.verdict == claims.NOT_RUN]
    if absent:
        lines += ["### Not run", "", *(f"- {c.statement} ({verdicts.where(c)})" for c in absent), ""]
    return "\n".join(lines)
