"""`uae verify`: the paper's claims against the records of a scale."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from uae.cli.common import app
from uae.errors import InputError

COLOURS = {
    "reproduced": "green",
    "partly": "yellow",
    "inconclusive": "yellow",
    "not reproduced": "red",
}
MARKS = {"holds": "✓", "fails": "✗", "inconclusive": "~"}
SIGNS = {"lower": "<", "higher": ">", "at least": "≥", "at most": "≤", "close to": "≈"}
SETTINGS = {"paper": "the paper's words", "released": "the authors' settings"}


@app.command()
def verify(
    scale: Annotated[str, typer.Option(help="Whose records: results/<scale>/records.")] = "preview",
    results: Annotated[Path, typer.Option(help="The folder of all scales.")] = Path("results"),
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 unless every claim of the paper reproduced.")
    ] = False,
    output: Annotated[str, typer.Option("--format", help="table, json or markdown.")] = "table",
) -> None:
    """Test every claim of the paper on the records: reproduced, partly, not reproduced, not run."""
    from uae import records
    from uae.paper import claims

    if output not in ("table", "json", "markdown"):
        raise InputError(f"--format {output!r} is none of table, json, markdown")
    loaded = records.load(results / scale / "records")
    verdicts = {settings: claims.evaluate(loaded, settings=settings) for settings in SETTINGS}
    if output == "json":
        print(json.dumps({s: [v.as_dict() for v in found] for s, found in verdicts.items()}, indent=1))
    elif output == "markdown":
        print(markdown(verdicts))
    else:
        _print(verdicts, scale)
    bad = [v for v in verdicts["paper"] if not v.claim.ours and v.verdict != claims.REPRODUCED]
    if strict and bad:
        raise typer.Exit(1)


def row_text(claim: Any, row: Any) -> str:
    """One measured row: ours, what it is compared with, the spread, and what it was measured on."""
    from uae.paper.claims import shown

    spread = f" ± {row.spread:.2g}" if row.spread is not None else ""
    sign = SIGNS[claim.direction]
    compared = f"{shown(row.ours)} {sign} {shown(row.ours_other)}{spread}"
    return f"{MARKS[row.state]} {row.label}: {compared} ({row.basis})"


def paper_text(claim: Any, rows: list[Any]) -> str:
    """The paper's numbers for the same rows, or what it shows where it prints no cell."""
    from uae.paper.claims import shown

    sign = SIGNS[claim.direction]
    return "\n".join(
        claim.paper or "–" if row.paper is None else f"{shown(row.paper)} {sign} {shown(row.paper_other)}"
        for row in rows
    )


def _shown(verdict: Any) -> tuple[str, str]:
    """Ours and the paper's numbers: the rows that ran, and how many did not."""
    ran = [row for row in verdict.rows if row.state != "not run"]
    if not ran:
        return "", ""
    ours = "\n".join(row_text(verdict.claim, row) for row in ran)
    missing = len(verdict.rows) - len(ran)
    more = f"\n{missing} of {len(verdict.rows)} rows not run" if missing else ""
    return ours + more, paper_text(verdict.claim, ran)


def _where(claim: Any) -> str:
    """Where the paper claims it, and how much slack the test gives."""
    slack = f"; tolerance {claim.tolerance}" if claim.tolerance else ""
    return claim.source + slack + ("; not in the paper" if claim.ours else "")


def _print(verdicts: dict[str, list[Any]], scale: str) -> None:
    from uae.paper import claims

    console = Console()
    for settings, found in verdicts.items():
        ran = [v for v in found if v.verdict != claims.NOT_RUN]
        if settings != "paper" and not ran:
            continue  # the authors' settings are an addition
        table = Table(title=f"{scale}: the paper's claims, UAEs with {SETTINGS[settings]}", show_lines=True)
        for head in ("verdict", "claim", "ours", "paper"):
            table.add_column(head, overflow="fold")
        for v in ran:
            claim = Text(v.claim.statement).append("\n" + _where(v.claim), style="dim")
            table.add_row(Text(v.verdict, style=COLOURS[v.verdict]), claim, *map(Text, _shown(v)))
        console.print(table)
        counts = claims.summary([v for v in found if not v.claim.ours])
        console.print(", ".join(f"{count} {name}" for name, count in counts.items()))
    if absent := [v.claim.statement for v in verdicts["paper"] if v.verdict == claims.NOT_RUN]:
        console.print("\nNot run:")
        console.print(Text("\n".join(f"- {statement}" for statement in absent), style="dim"))


def markdown(verdicts: dict[str, list[Any]]) -> str:
    """The verdicts as Markdown tables, claims that were not run in a list at the end."""
    lines = []
    for settings, found in verdicts.items():
        ran = [v for v in found if v.verdict != "not run"]
        if not ran:
            continue
        lines += [
            f"### UAEs with {SETTINGS[settings]}",
            "",
            "| verdict | claim | ours | paper |",
            "|---|---|---|---|",
        ]
        for v in ran:
            ours, paper = (text.replace("\n", "<br>") for text in _shown(v))
            lines.append(f"| {v.verdict} | {v.claim.statement} ({_where(v.claim)}) | {ours} | {paper} |")
        lines.append("")
    absent = [v.claim for v in verdicts["paper"] if v.verdict == "not run"]
    if absent:
        lines += ["### Not run", "", *(f"- {c.statement} ({c.source})" for c in absent), ""]
    return "\n".join(lines)
