"""How verdicts read: the words and signs that the report and `uae verify` share."""

from __future__ import annotations

from collections.abc import Iterable

from uae.paper.claims import NOT_RUN, REPRODUCED, VERDICTS, Claim, Row, Verdict, shown
from uae.paper.perturbation import NO_PERTURBATION

MARKS = {"holds": "✓", "fails": "✗", "inconclusive": "~", NO_PERTURBATION: "○", NOT_RUN: "–"}
SIGNS = {"lower": "<", "higher": ">", "at least": "≥", "at most": "≤", "close to": "≈"}
FAILED = {"lower": "≥", "higher": "≤", "at least": "<", "at most": ">", "close to": "≉"}  # what was found
SETTINGS = {
    "paper": "UAEs in the paper's words, with the critic's learning rate of the authors' code",
    "released": "UAEs with the authors' settings",
}
LEGEND = (
    "✓ holds, ✗ fails, ~ within the spread or the digits shown, ○ no perturbation: the median change of the "
    "UAEs that the model was trained with is below one grey level, so the comparison tests nothing; ±: the "
    "spread of both sides together, over runs (KID: and over its subsets). Partly: some rows hold, or not "
    "all were run."
)
FEW = 100  # attacked images, below which a verdict says little


def row_text(claim: Claim, row: Row) -> str:
    """One row: ours, what it is compared with, the spread, and what it was measured on."""
    if row.state == NOT_RUN:
        return f"{MARKS[row.state]} {row.label}: not run"
    if row.state == NO_PERTURBATION:
        return f"{MARKS[row.state]} {row.label}: {NO_PERTURBATION} ({row.basis})"
    spread = f" (± {row.spread:.2g})" if row.spread is not None else ""
    sign = (FAILED if row.state == "fails" else SIGNS)[claim.direction]
    compared = f"{shown(row.ours)} {sign} {shown(row.ours_other)}{spread}"
    return f"{MARKS[row.state]} {row.label}: {compared} ({row.basis})"


def paper_texts(claim: Claim, rows: list[Row]) -> list[str]:
    """The paper's numbers for each row, or once what it shows where it prints no cells."""
    sign = SIGNS[claim.direction]
    printed = [r.paper is not None and f"{shown(r.paper)} {sign} {shown(r.paper_other)}" for r in rows]
    return [text or "–" for text in printed] if any(printed) else [claim.paper or "–"]


def where(claim: Claim) -> str:
    """Where the paper claims it, and how much slack the test gives."""
    slack = f"; tolerance {claim.tolerance}" if claim.tolerance else ""
    return claim.source + slack + ("; ours, not in the paper" if claim.ours else "")


def counts(verdicts: Iterable[Verdict]) -> str:
    """How many of the paper's own claims have each verdict, and how many of them rest on few images."""
    found = [v for v in verdicts if not v.claim.ours]
    text = ", ".join(f"{sum(v.verdict == name for v in found)} {name}" for name in VERDICTS)
    few = sum(v.verdict == REPRODUCED and _few(v) for v in found)
    return text + (f"; {few} of the reproduced rest on fewer than {FEW} images" if few else "")


def _few(verdict: Verdict) -> bool:
    images = [n for row in verdict.rows for n in (row.images, row.images_other) if n is not None]
    return min(images, default=FEW) < FEW
