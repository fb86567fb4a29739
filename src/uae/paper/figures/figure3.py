"""Figure 3: MinMax with MINE against PGD at growing bounds on the perturbation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib import pyplot as plt

from uae import storage
from uae.paper.figures import TWO_COLUMNS
from uae.paper.images import Grid, described
from uae.paper.tables import name_of

WIDTH = TWO_COLUMNS


def draw(inputs: list[Path], width: float) -> tuple[plt.Figure, tuple[dict[str, Any], dict[str, Any]]]:
    """Two rows an image, one an attack; the original first, then a column a bound."""
    arrays, metadata = storage.read_tensors(inputs[0], "original", "minmax", "pgd")
    eps, methods = metadata["eps"], metadata["methods"]
    count = len(arrays["original"])
    grid = Grid(width, len(methods) * count, 1 + len(eps), margin=0.55, heads=0.14)
    grid.heading(f"{described(metadata)}; a red cross: the attack failed")
    for place, bound in enumerate(["original", *(rf"$\epsilon$ = {e:g}" for e in eps)]):
        grid.head(bound, place)
    for image in range(count):
        for place, method in enumerate(methods):
            row = image * len(methods) + place
            grid.label(name_of(method), row)
            grid.show(arrays["original"][image], row, 0)
            for column in range(len(eps)):
                success = bool(arrays[f"success/{method}"][image][column])
                grid.show(arrays[method][image][column], row, 1 + column, failed=not success)
    return grid.figure, (arrays, metadata)
