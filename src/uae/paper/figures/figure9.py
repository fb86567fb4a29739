"""Figure 9: adversarial training with and without UAEs."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from uae.paper.figures import TWO_COLUMNS, _curves

WIDTH = TWO_COLUMNS
LABELS = {
    "original": "Adv. training",
    "mine-uae": "Adv. training-UAE",
    "mine-uae-released": "Adv. training-UAE (released)",
    "matched": "Adv. training, matched control",
}


def draw(inputs: list[Path], width: float) -> tuple[Figure, pd.DataFrame]:
    """Draw PGD's success rates against eps. Each input is a record of the experiment `robustness`."""
    numbers = _curves.rates(inputs, "robustness", ["adversarial-training"], list(LABELS))
    return _curves.draw(numbers, LABELS, width), numbers
