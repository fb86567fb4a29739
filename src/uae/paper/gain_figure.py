"""The report's main figure: the gain of retraining with UAEs, beside that of the matched control."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import pandas as pd

from uae.paper.names import name_of

WIDTH, LEFT, RIGHT, TOP, STEP = 440, 180, 20, 34, 30  # pixels, readable on a phone
STEPS = (5, 10, 20, 25, 50, 100)  # between the marks of the axis, in per cent
MOST = 5  # steps: with more of them the labels of the marks would touch


class Gain(NamedTuple):
    """The fall of an autoencoder's test error in per cent, relative to the original of the same seeds."""

    name: str
    uae: float
    control: float
    paper: float | None
    flat: bool  # whether the UAEs are their originals


def gains(cells: pd.DataFrame) -> list[Gain]:
    """The autoencoders in Table 4's cells (see `tables.tidy`) that have both numbers."""
    found = []
    errors = cells[cells["metric"] == "test_error"]
    variants = errors.groupby(["dataset", "model"])["variant"].nunique()
    for (dataset, variant, model), part in errors.groupby(["dataset", "variant", "model"], sort=False):
        rows = part.set_index("method")
        if not {"original", "mine-uae", "matched"} <= set(rows.index):
            continue
        uae, control = (
            100 * (1 - rows.loc[name, "value"] / rows.loc[name, "base"]) for name in ("mine-uae", "matched")
        )
        paper = 100 * (1 - rows.loc["mine-uae", "paper_value"] / rows.loc["original", "paper_value"])
        data = variant if variants[dataset, model] > 1 else name_of(dataset, math=False)
        name = f"{data}, {name_of(model, math=False)}"
        flat = bool(rows.loc["mine-uae", "unperturbed"])
        if math.isfinite(uae) and math.isfinite(control):
            found.append(Gain(name, uae, control, None if math.isnan(paper) else paper, flat))
    return found


def drawing(found: list[Gain]) -> dict[str, Any]:
    """The positions, in pixels, of what `report.html.jinja` draws. Empty without `rows`."""
    if not found:
        return {"rows": []}
    values = [v for gain in found for v in (gain.uae, gain.control, gain.paper) if v is not None]
    low, high = min(0.0, *values), max(0.0, *values)
    step = next((s for s in STEPS if (high - low) / s <= MOST), STEPS[-1])
    low, high = math.floor(low / step) * step, math.ceil(high / step) * step or step

    def x(value: float) -> float:
        return round(LEFT + (WIDTH - LEFT - RIGHT) * (value - low) / (high - low), 1)

    rows = [
        {
            "y": TOP + STEP * place + STEP / 2,
            "gain": gain,
            "uae": x(gain.uae),
            "control": x(gain.control),
            "paper": None if gain.paper is None else x(gain.paper),
        }
        for place, gain in enumerate(found)
    ]
    ticks = [
        (x(value), f"{value:+d}%".replace("-", "−") if value else "0") for value in range(low, high + 1, step)
    ]
    marks = {
        "uae": "MINE-UAE" if any(not gain.flat for gain in found) else "",
        "flat": "MINE-UAE, no perturbation" if any(gain.flat for gain in found) else "",
        "control": "matched control",
        "paper": "the paper's MINE-UAE" if any(gain.paper is not None for gain in found) else "",
    }
    bottom = TOP + STEP * len(found)  # of the rows; below it stand the ticks and the legend
    legend, left, line = [], 0, bottom + 35
    for mark, text in marks.items():
        wide = 32 + round(6.6 * len(text))
        if left and left + wide > WIDTH:
            left, line = 0, line + 18
        if text:
            legend.append((mark, left + 6, line, text))
            left += wide
    return {
        "width": WIDTH,
        "height": line + 9,
        "top": TOP,
        "bottom": bottom,
        "rows": rows,
        "ticks": ticks,
        "legend": legend,
    }
