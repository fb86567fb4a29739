"""The words and signs of verdicts, which the report and `uae verify` share."""

from __future__ import annotations

from collections.abc import Iterable

from uae.paper.claims import AGREES, FEW, NOT_RUN, REPRODUCED, VERDICTS, Claim, Row, Verdict
from uae.paper.comparison import shown
from uae.paper.perturbation import NO_PERTURBATION

MARKS = {"holds": "✓", "fails": "✗", "inconclusive": "~", NO_PERTURBATION: "○", NOT_RUN: "–"}
SIGNS = {"lower": "<", "higher": ">", "at least": "≥", "at most": "≤", "close to": "≈"}
FAILED = {"lower": "≥", "higher": "≤", "at least": "<", "at most": ">", "close to": "≉"}  # what was found
SETTINGS = {
    "paper": "UAEs with the paper's settings and the critic's learning rate of the authors' code",
    "released": "UAEs with the authors' settings",
}
LEGEND = (
    "✓ holds, ✗ fails, ~ below what the runs could have seen or beyond the digits shown, ○ no perturbation: "
    "the median change of the UAEs that the model was trained with is below one grey level, so the "
    "comparison tests nothing; ±: the standard deviation of both sides together, over runs (KID: and over "
    "its subsets); sees: the smallest difference that the runs could have seen, half of the 95 % interval, "
    "by a paired t over seeds, or for one seed from the spread of other methods' runs; spread unknown: "
    "nothing was run twice, and what it sees is within one run. In agreement: the claim holds, but nothing "
    "shows how much its numbers vary. Partly: some rows hold, or not all were run."
)


def verdict_text(verdict: Verdict) -> str:
    """The verdict and its weaknesses."""
    return "; ".join([verdict.verdict, *verdict.caveats])


def row_text(claim: Claim, row: Row) -> str:
    """The text of a row: ours, the other side, the spread, and the basis of the measurement."""
    if row.state == NOT_RUN:
        return f"{MARKS[row.state]} {row.label}: not run"
    if row.state == NO_PERTURBATION:
        return f"{MARKS[row.state]} {row.label}: {NO_PERTURBATION} ({row.basis})"
    seen = [f"± {row.spread:.2g}"] if row.spread is not None else []
    seen += [f"sees {row.resolution:.2g}"] if row.resolution is not None else []
    seen += ["spread unknown"] * (not row.repeated)
    sign = (FAILED if row.state == "fails" else SIGNS)[claim.direction]
    compared = f" {sign} ".join(map(shown, row.pair))
    few = ": few" if row.few else ""
    return f"{MARKS[row.state]} {row.label}: {compared} ({', '.join(seen)}) ({row.basis}{few})"


def paper_texts(claim: Claim, rows: list[Row]) -> list[str]:
    """The paper's numbers for each row, or, if it prints no cells, one text on what it shows."""
    sign = f" {SIGNS[claim.direction]} "
    printed = [row.paper_pair and sign.join(map(shown, row.paper_pair)) for row in rows]
    return [text or "–" for text in printed] if any(printed) else [claim.paper or "–"]


def where(claim: Claim) -> str:
    """The claim's place in the paper, and the tolerance of the test."""
    slack = f"; tolerance {claim.tolerance}" if claim.tolerance else ""
    return claim.source + slack + ("; ours, not in the paper" if claim.ours else "")


def counts(verdicts: Iterable[Verdict]) -> str:
    """The count of each verdict on the paper's own claims, and of weak ones among those that hold."""
    found = [v for v in verdicts if not v.claim.ours]
    text = ", ".join(f"{sum(v.verdict == name for v in found)} {name}" for name in VERDICTS)
    weak = "; ".join(weaknesses(found))
    return text + f"; of those reproduced or in agreement, {weak}" * bool(weak)


def weaknesses(verdicts: Iterable[Verdict]) -> list[str]:
    """How many of the claims that hold rest on few images, and on runs of unknown spread."""
    good = [caveat for v in verdicts if v.verdict in (REPRODUCED, AGREES) for caveat in v.caveats]
    few, unknown = (good.count(caveat) for caveat in (f"fewer than {FEW} images", "spread unknown"))
    found = [f"{few} rest{'s' * (few == 1)} on fewer than {FEW} images"] * bool(few)
    return found + [f"{unknown} rest{'s' * (unknown == 1)} on runs whose spread is unknown"] * bool(unknown)
