"""Figure 10 (a): the standard MNIST classifier with and without UAEs."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from uae.paper.figures import ONE_COLUMN, _curves

WIDTH = ONE_COLUMN
LABELS = {
    "original": "Std",
    "mine-uae": "Std-UAE",
    "mine-uae-released": "Std-UAE (released)",
    "matched": "Std, matched control",
}


def draw(inputs: list[Path], width: float) -> tuple[Figure, pd.DataFrame]:
    """Draw PGD's success rates against eps. Each input is a record of the experiment `robustness`."""
    numbers = _curves.rates(inputs, "robustness", ["classifier"], list(LABELS))
    return _curves.draw(numbers, LABELS, width), numbers
