"""Figure 8: MinMax and PGD against models trained by TRADES."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from uae.paper.figures import TWO_COLUMNS, _curves

WIDTH = TWO_COLUMNS
LABELS = {"minmax": "MinMax", "pgd": "PGD"}


def draw(inputs: list[Path], width: float) -> tuple[Figure, pd.DataFrame]:
    """Attack success rates against eps; each input is a record of the experiment `robustness`."""
    numbers = _curves.rates(inputs, "robustness", "trades", list(LABELS))
    return _curves.draw(numbers, LABELS, width), numbers
