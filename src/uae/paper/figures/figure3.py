"""Figure 3: MinMax with MINE against PGD at growing bounds on the perturbation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from uae import storage
from uae.paper.figures import TWO_COLUMNS
from uae.paper.images import by_eps
from uae.paper.names import name_of

WIDTH = TWO_COLUMNS


def draw(inputs: list[Path], width: float) -> tuple[Figure, tuple[dict[str, Any], dict[str, Any]]]:
    """Draw two rows per image, one per attack: the original, then a column per bound, as many as fit."""
    arrays, metadata = storage.read_tensors(inputs[0], "original", "minmax", "pgd")
    eps, methods = metadata["eps"], metadata["methods"]
    count = len(arrays["original"])
    grid, shown = by_eps(metadata, eps, width, len(methods) * count, margin=0.55)
    for image in range(count):
        for order, method in enumerate(methods):
            row = image * len(methods) + order
            grid.label(name_of(method), row)
            grid.show(arrays["original"][image], row, 0)
            for column, place in enumerate(shown, start=1):
                success = bool(arrays[f"success/{method}"][image][place])
                grid.show(arrays[method][image][place], row, column, failed=not success)
    return grid.figure, (arrays, metadata)
