"""The report's text on a claim: its section, its numbers and, if it does not hold, a reason."""

from __future__ import annotations

from collections import Counter
from typing import Any

from uae.paper.claims import AGREES, NOT_REPRODUCED, NOT_RUN, PARTLY, VERDICTS, Claim, Row, Verdict
from uae.paper.comparison import INCONCLUSIVE
from uae.paper.names import name_of
from uae.paper.parts import signed, written
from uae.paper.perturbation import GREY_LEVEL, NO_PERTURBATION

# Sections of the report, by the subject of the claims' records
SECTIONS = {
    "supervised": "Attacks on classifiers (sections 3, 5.2 and 5.3)",
    "reconstruction": "Data reconstruction (section 5.4, appendices E, G and H)",
    "concrete": "Representation learning (section 5.5)",
    "contrastive": "Contrastive learning (section 5.6, appendix I)",
    "robustness": "Robust models (appendices H.1 and I)",
    "theorem1": "Convergence (section 4.2)",
    "ours": "Not in the paper: the matched control and other checks",
}
DIRECTIONS = {"lower": "lower than", "higher": "higher than", "close to": "close to"}
SHARES = ("asr", "accuracy", "linear_accuracy", "knn_accuracy", "prediction_changed")
LEGEND = (
    "Reproduced: the claim holds in as many comparisons as it requires. In agreement: it does, but nothing "
    "shows how much its numbers vary. Partly: some hold, or not all were run. Inconclusive: the differences "
    "are too small for these runs, or beyond the digits shown. No perturbation: the median change of the "
    "UAEs that a model was trained with is below one grey level, so the comparison tests nothing. ±: the "
    "spread of both sides together."
)


def sections(verdicts: list[Verdict]) -> list[dict[str, Any]]:
    """The claims with records, by section: its title, the count of each verdict, and its claims."""
    found: dict[str, list[Verdict]] = {}
    for v in verdicts:
        found.setdefault(section(v.claim), []).append(v)
    order = [*SECTIONS, *found]
    return [
        {
            "id": name,
            "title": SECTIONS.get(name, name.capitalize()),
            "counts": counts(ran),
            "claims": [_shown(v) for v in ran],
        }
        for name, all_ in sorted(found.items(), key=lambda item: order.index(item[0]))
        if (ran := [v for v in all_ if v.verdict != NOT_RUN])
    ]


def counts(verdicts: list[Verdict]) -> list[tuple[str, int]]:
    """The count of each verdict that occurs."""
    number = Counter(v.verdict for v in verdicts)
    return [(name, number[name]) for name in VERDICTS if number[name]]


def section(claim: Claim) -> str:
    if claim.ours:
        return "ours"
    return "concrete" if claim.cells.model == "concrete" else claim.cells.experiment


def _shown(v: Verdict) -> dict[str, Any]:
    ran = [row for row in v.rows if row.state != NOT_RUN]
    return {
        "id": v.claim.id,
        "verdict": v.verdict,
        "statement": v.claim.statement,
        "source": v.claim.source,
        "reason": reason(v),
        "paper": v.claim.paper,
        "tolerance": v.claim.tolerance,
        "caveats": v.caveats,
        "rows": [_row(v.claim, row) for row in ran],
        "printed": any(row.paper is not None for row in ran),
        "states": list(Counter(row.state for row in ran).items()),
        "missing": len(v.rows) - len(ran),
    }


def _row(claim: Claim, row: Row) -> dict[str, str]:
    """The texts of a comparison: ours, the other side, the difference, and the paper's."""
    ours, other = row.pair
    printed = row.paper_pair
    paper = f"{number(claim, printed[0])}, {against(claim, printed[1])}" if printed else "–"
    return {
        "state": row.state,
        "where": where(row),
        "ours": number(claim, ours),
        "against": against(claim, other),
        "difference": difference(claim, ours, other),
        "spread": "" if row.spread is None else f"± {_spread(claim, row, row.spread)}",
        "paper": paper,
        "paper_difference": difference(claim, *printed) if printed else "",
        "basis": row.basis,
    }


def where(row: Row) -> str:
    """The names in a comparison's key: `mnist/madry asr@0.1` is MNIST, Madry, ε = 0.1."""
    names, _, metric = row.label.partition(" ")
    eps = [f"ε = {metric.partition('@')[2]}"] if "@" in metric else []
    return ", ".join([*(name_of(name, math=False) for name in names.split("/")), *eps])


def _is_share(claim: Claim) -> bool:
    metric = claim.cells.metric if isinstance(claim.cells.metric, str) else claim.cells.metric[0]
    return claim.quantity == "improvement" or metric.partition("@")[0] in SHARES


def number(claim: Claim, value: float) -> str:
    return f"{100 * value:.1f}%".replace("-", "−") if _is_share(claim) else written(value, ".4g")


def against(claim: Claim, other: float) -> str:
    """The other side of the claim's comparison, in words."""
    return f"{DIRECTIONS.get(claim.direction, claim.direction)} {number(claim, other)}"


def _spread(claim: Claim, row: Row, spread: float) -> str:
    """The combined spread of both sides, in the unit of their difference."""
    if _is_share(claim):
        return f"{100 * spread:.1f} points"
    if _relative(*row.pair):
        return f"{written(100 * spread / row.pair[1], '.2g')}%"
    return written(spread, ".2g")


def _relative(left: float, right: float) -> bool:
    return left > 0 and right > 0 and left / right < 10


def difference(claim: Claim, left: float, right: float) -> str:
    """The difference: points between shares, per cent between positive numbers of one size, else absolute."""
    if _is_share(claim):
        return f"{signed(100 * (left - right), 1)} points"
    if _relative(left, right):
        return f"{signed(100 * (left / right - 1), 1)}%"
    return written(left - right, "+.3g")


def reason(v: Verdict) -> str:
    """One sentence on why a claim is not reproduced; empty if it is."""
    claim, ran = v.claim, [row for row in v.rows if row.state != NOT_RUN]
    failing = [row for row in ran if row.state == "fails"]
    missing = len(v.rows) - len(ran)
    if v.verdict == AGREES:
        return "It holds, but nothing was run twice, so that its spread is unknown."
    if v.verdict == NO_PERTURBATION:
        most = max(row.change or 0.0 for row in ran if row.state == NO_PERTURBATION)
        return (
            f"The UAEs are their originals: their median change is at most {most / GREY_LEVEL:.2g} of one "
            "grey level, so that retraining with them is retraining on the originals."
        )
    if v.verdict in (NOT_REPRODUCED, PARTLY) and failing:
        worst = max(failing, key=lambda row: _miss(row))
        share = f"{len(failing)} of {len(ran)} comparisons fail; the furthest: " if len(ran) > 1 else ""
        ours, other = worst.pair
        return f"{share}{where(worst)} gives {number(claim, ours)}, claimed {against(claim, other)}."
    if v.verdict == PARTLY:
        held = f"{v.holding} of {len(v.rows)} comparisons hold"
        rest = {
            "too close for these runs": sum(row.state == INCONCLUSIVE for row in ran),
            "no perturbation": sum(row.state == NO_PERTURBATION for row in ran),
            "not run": missing,
        }
        return "; ".join([held, *(f"{n} {what}" for what, n in rest.items() if n)]) + "."
    if v.verdict == INCONCLUSIVE:
        open_ = [row for row in ran if row.state == INCONCLUSIVE]
        if len(ran) == 1 and open_:
            row = open_[0]
            runs = "" if row.spread is None else f", the spread of the runs {_spread(claim, row, row.spread)}"
            return f"The difference is {difference(claim, *row.pair)}{runs}: too small for these runs."
        held = f"{v.holding} of {len(v.rows)} comparisons hold and {len(failing)} fail"
        return f"{held}; those left, too close for these runs or not run, would decide."
    return ""


def _miss(row: Row) -> float:
    """The distance of a comparison from the claim, as a share of the claimed number if that is not zero."""
    ours, other = row.pair
    return abs(ours - other) / (abs(other) or 1.0)
