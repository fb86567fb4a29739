"""Figure 8: MinMax and PGD against TRADES, the published model and models trained here."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from uae.paper.figures import TWO_COLUMNS, _curves

WIDTH = TWO_COLUMNS


def draw(inputs: list[Path], width: float) -> tuple[Figure, pd.DataFrame]:
    """Draw attack success rates against eps. Each input is a record of the experiment `robustness`."""
    return _curves.attacks(inputs, ["trades-published", "trades"], width)
