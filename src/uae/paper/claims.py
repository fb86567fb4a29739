"""The paper's claims as tests over records: what reproduced, what did not, what was not run.

A claim has rows, and a row is one comparison (reference/claims.yaml explains the keys). Its margin is the
signed distance by which the row holds. A margin below the row's resolution, the smallest difference that its
runs could have seen (`uae.paper.comparison`), is inconclusive. So is a difference beyond the four digits that
are shown. Where the resolution is unknown, a claim that holds is `in agreement`, not `reproduced`. If a row's
model was trained with UAEs that equal their originals, the row says `no perturbation` instead.

Only cells of one variant of the data are compared, by their means over common seeds. The same rows on the
paper's own cells give the paper's numbers.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from uae import shipped
from uae.errors import BadFile
from uae.paper import comparison
from uae.paper.cells import AXES, REFERENCE, Key, Measured, measured, printed, quantities
from uae.paper.comparison import INCONCLUSIVE
from uae.paper.perturbation import GREY_LEVEL, NO_PERTURBATION, OF_THE_ATTACK
from uae.records import Record

REPRODUCED, AGREES, PARTLY, NOT_REPRODUCED = "reproduced", "in agreement", "partly", "not reproduced"
NOT_RUN = "not run"
VERDICTS = (REPRODUCED, AGREES, PARTLY, INCONCLUSIVE, NOT_REPRODUCED, NO_PERTURBATION, NOT_RUN)

FEW = 100  # with fewer attacked images a verdict says little

Names = str | list[str]


class Cells(BaseModel):
    """The cells of a claim. A list of names stands for each of them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    experiment: str
    dataset: Names
    model: Names
    method: Names
    metric: Names

    def combinations(self) -> list[Key]:
        names = [getattr(self, axis) for axis in AXES]
        return list(itertools.product(*([n] if isinstance(n, str) else n for n in names)))


class Claim(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    source: str
    statement: str
    cells: Cells
    quantity: Literal["value", "improvement", "gain"] = "value"
    base: dict[str, str] | None = None
    direction: Literal["lower", "higher", "at least", "at most", "close to"] = Field(alias="is")
    than: float | str | dict[str, str]
    tolerance: float | str
    holds_in: Literal["all", "most"] | int = Field("all", alias="holds in")
    reason: str
    paper: str = ""
    ours: bool = False
    unless: dict[str, str] = {}

    @model_validator(mode="after")
    def _whole(self) -> Claim:
        if (self.quantity == "value") != (self.base is None):
            raise ValueError("base is for the quantities improvement and gain, which need it")
        for other in (self.base, self.than):
            if isinstance(other, dict) and not set(other) <= set(AXES):
                raise ValueError(f"{other}: a cell differs in {', '.join(AXES)} only")
        if isinstance(self.than, str) and self.than not in quantities():
            raise ValueError(f"than: {self.than!r} is no quantity of text.csv")
        if isinstance(self.tolerance, str) and not re.fullmatch(r"\d+(\.\d+)?%", self.tolerance):
            raise ValueError(f"tolerance: {self.tolerance!r} is neither a number nor a share such as 10%")
        if self.direction in ("lower", "higher") and self.tolerance:
            raise ValueError(f"{self.direction} has no tolerance; use 'at most' or 'at least'")
        return self


@dataclass(frozen=True)
class Row:
    """One comparison. `state` is holds, fails, inconclusive, no perturbation or not run.

    spread: the combined standard deviation of both sides over the runs.
    resolution: the smallest difference that the runs could have seen; None if it is unknown.
    repeated: whether the spread of runs is in the resolution. If not, it has only the spread within one run.
    change: the median change of the UAEs, if they are almost their originals.
    features: the network whose features an image distance compares, if it is not Inception.
    """

    label: str
    variant: str
    state: str
    ours: float | None = None
    ours_other: float | None = None
    spread: float | None = None
    runs: int = 0
    paper: float | None = None
    paper_other: float | None = None
    images: int | None = None
    images_other: int | None = None
    resolution: float | None = None
    repeated: bool = False
    change: float | None = None
    features: str | None = None

    @property
    def pair(self) -> tuple[float, float]:
        """Ours and what it is compared with, of a row that was run."""
        assert self.ours is not None and self.ours_other is not None
        return self.ours, self.ours_other

    @property
    def paper_pair(self) -> tuple[float, float] | None:
        """The same of the paper, where it prints them."""
        return None if self.paper is None or self.paper_other is None else (self.paper, self.paper_other)

    @property
    def few(self) -> bool:
        """Whether the row rests on few attacked images."""
        return min((n for n in (self.images, self.images_other) if n is not None), default=FEW) < FEW

    @property
    def basis(self) -> str:
        """The basis of our number: data, runs and, if the records state them, features and images."""
        counts = [f"{n:,}" for n in dict.fromkeys((self.images, self.images_other)) if n is not None]
        images = [f"{' and '.join(counts)} image{'s' * (counts != ['1'])}"] if counts else []
        features = [f"features: {self.features}"] * (self.features is not None)
        return ", ".join([self.variant, *features, f"{self.runs} run{'s' * (self.runs > 1)}", *images])


@dataclass(frozen=True)
class Verdict:
    """contradicted: the caveats of the claims that contradict this one, see `unless` in claims.yaml."""

    claim: Claim
    verdict: str
    rows: list[Row] = field(default_factory=list)
    contradicted: list[str] = field(default_factory=list)

    @property
    def holding(self) -> int:
        return sum(row.state == "holds" for row in self.rows)

    @property
    def caveats(self) -> list[str]:
        """Weaknesses of the verdict: rows that decide it rest on few images, on runs of unknown spread or on
        examples that are almost their originals, or another claim contradicts it."""
        deciding = [row for row in self.rows if row.state in ("holds", "fails")]
        few = [f"fewer than {FEW} images"] * any(row.few for row in deciding)
        unknown = ["spread unknown"] * any(not row.repeated for row in deciding)
        flat = ["UAEs almost their originals"] * any(row.change is not None for row in deciding)
        return few + unknown + flat + self.contradicted

    def as_dict(self) -> dict[str, Any]:
        claim = self.claim.model_dump(exclude={"cells", "base", "than", "paper", "unless"})
        return claim | {
            "verdict": self.verdict,
            "caveats": self.caveats,
            "rows": [vars(row) for row in self.rows],
        }


def read(path: Path = REFERENCE / "claims.yaml") -> list[Claim]:
    """Read the claims of a file, in its order. Raises BadFile naming the claim and its mistake."""
    claims = []
    for entry in shipped.read(path):
        try:
            claims.append(Claim.model_validate(entry))
        except ValidationError as error:
            raise BadFile(f"{path}: claim {entry.get('id', entry)!r}: {error}") from None
    names = [claim.id for claim in claims]
    if twice := {name for name in names if names.count(name) > 1}:
        raise BadFile(f"{path}: more than one claim {', '.join(sorted(twice))}")
    return claims


def _rows(claim: Claim, ours: Measured, paper: Measured, settings: str) -> list[Row]:
    rows, compared = [], _adapted(claim, settings)
    for wanted in claim.cells.combinations():
        # The paper's one number is beside both of ours: with the paper's and with the authors' settings.
        for key in ours.matching(_with(wanted, settings)):
            papers = comparison.sides(claim, _without(key, settings), paper.cells["paper"])
            theirs, other = (papers[0].mean, papers[1].mean) if papers else (None, None)
            found = {v: comparison.sides(compared, key, ours.cells[v]) for v in ours.variants(key)}
            variants = {variant: sides for variant, sides in found.items() if sides}
            named = 4 if isinstance(claim.cells.method, list) else 3  # the method, if the claim has several
            label = "/".join(_without(key, settings)[1:named]) + (f" {key[-1]}" if "@" in key[-1] else "")
            if not variants:
                rows.append(Row(label, "", NOT_RUN, paper=theirs, paper_other=other))
            for variant, (left, right, differences) in variants.items():
                if comparison.saturated(compared, key, left, right):
                    continue
                seen, known = comparison.resolution(compared, key, ours, variant, differences)
                state = comparison.state(compared, left, right, seen)
                cells = comparison.compared(compared, key)
                changes = [c for cell in cells if (c := ours.change(cell, variant)) is not None]
                change = max((c for c in changes if c < GREY_LEVEL), default=None)
                of_the_attack = key[-1] in OF_THE_ATTACK
                if change is not None and not of_the_attack:
                    state = NO_PERTURBATION
                runs = min(left.runs, right.runs) if isinstance(claim.than, dict) else left.runs
                numbers = left.mean, right.mean, comparison.spread(left, right), runs, theirs, other
                basis = left.images, right.images, seen, known, change, left.features
                rows.append(Row(label, variant, state, *numbers, *basis))
    return rows


def _decide(claim: Claim, rows: list[Row]) -> str:
    """The verdict of a claim from its rows."""
    states = [row.state for row in rows]
    holding, failing = states.count("holds"), states.count("fails")
    clearly = sum(row.state == "holds" and row.resolution is not None for row in rows)
    total = len(states)
    if not states:  # all rates were left out, see `comparison.saturated`
        return INCONCLUSIVE
    wanted = claim.holds_in
    needed = wanted if isinstance(wanted, int) else {"all": total, "most": total // 2 + 1}[wanted]
    if states.count(NOT_RUN) + states.count(NO_PERTURBATION) == total:
        return NO_PERTURBATION if NO_PERTURBATION in states else NOT_RUN
    if holding >= needed:
        return REPRODUCED if clearly >= needed else AGREES
    if holding and (claim.holds_in == "all" or total - failing >= needed):
        return PARTLY
    # One failure refutes "all". "most" and a number are refuted when the remaining rows cannot suffice.
    refuted = failing if claim.holds_in == "all" else total - failing < needed
    return NOT_REPRODUCED if refuted else INCONCLUSIVE


def evaluate(
    records: list[Record], claims: list[Claim] | None = None, settings: str = "paper"
) -> list[Verdict]:
    """The verdict of every claim.

    settings: `paper` for UAEs with the paper's settings, `released` for UAEs with the settings of the
    authors' code (methods named …-uae-released). `released` returns only the claims about UAEs.
    """
    ours, out = measured(records), []
    for claim in read() if claims is None else claims:
        if settings == "released" and _adapted(claim, settings) == claim:
            continue
        rows = _rows(claim, ours, printed(), settings)
        out.append(Verdict(claim, _decide(claim, rows), rows))
    refuted = {v.claim.id for v in out if v.verdict == NOT_REPRODUCED}
    against = [[text for name, text in v.claim.unless.items() if name in refuted] for v in out]
    return [replace(v, contradicted=texts) for v, texts in zip(out, against, strict=True)]


_UAE = re.compile(r"\b((?:mine|l2)-uae|alpha-[^-]+-beta-[^-]+)(?!-released|[^-])")


def _release(method: str) -> str:
    return _UAE.sub(r"\1-released", method)


def _with(key: Key, settings: str) -> Key:
    return (*key[:3], _release(key[3]), key[4]) if settings == "released" else key


def _without(key: Key, settings: str) -> Key:
    return (*key[:3], key[3].replace("-released", ""), key[4]) if settings == "released" else key


def _adapted(claim: Claim, settings: str) -> Claim:
    """The claim, with the methods of the authors' settings instead of the paper's."""
    if settings == "paper":
        return claim

    def released(names: Any) -> Any:
        if isinstance(names, dict):
            return names | {"method": released(names["method"])} if "method" in names else names
        return [_release(name) for name in names] if isinstance(names, list) else names and _release(names)

    cells = claim.cells.model_copy(update={"method": released(claim.cells.method)})
    than = released(claim.than) if isinstance(claim.than, dict) else claim.than
    return claim.model_copy(
        update={"cells": cells, "base": claim.base and released(claim.base), "than": than}
    )
