"""Figure 6: what MinMax and PGD make of MNIST images on two robust models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib import pyplot as plt

from uae import storage
from uae.paper.figures import TWO_COLUMNS
from uae.paper.images import Grid, described
from uae.paper.tables import name_of

WIDTH = TWO_COLUMNS
ATTACKS = ("minmax", "pgd")


def draw(inputs: list[Path], width: float) -> tuple[plt.Figure, tuple[dict[str, Any], dict[str, Any]]]:
    """A row an image, model and attack, a column an eps, the original first; failures are crossed.

    Each input holds one model's images (`uae.stages.robustness.attack`): original (n, C, H, W), eps (E,), and
    for each attack its examples (E, n, C, H, W) and successes (E, n).
    """
    needed = ["original", "eps", *ATTACKS, *(f"{attack}_success" for attack in ATTACKS)]
    # One seed of each model, the first.
    shown = {}
    for arrays, metadata in [storage.read_tensors(path, *needed) for path in inputs]:
        shown.setdefault((metadata["dataset"], metadata["model"]), (arrays, metadata))
    loaded = list(shown.values())
    lines = [
        (arrays, metadata["model"], attack, image)
        for arrays, metadata in loaded
        for attack in ATTACKS
        for image in range(len(arrays["original"]))
    ]
    arrays, metadata = loaded[0]
    grid = Grid(width, len(lines), 1 + len(arrays["eps"]), margin=0.95, heads=0.14)
    grid.heading(f"{described(metadata)}; a red cross: the attack failed")
    for column, head in enumerate(["original", *(rf"$\epsilon$ = {e:g}" for e in arrays["eps"])]):
        grid.head(head, column)
    for row, (arrays, model, attack, image) in enumerate(lines):
        grid.label(f"{name_of(model)}, {name_of(attack)}", row)
        grid.show(arrays["original"][image], row, 0)
        for column, example in enumerate(arrays[attack][:, image]):
            failed = not arrays[f"{attack}_success"][column, image]
            grid.show(example, row, 1 + column, failed=failed)
    plotted = {
        f"{metadata['dataset']}/{metadata['model']}/{name}": array
        for arrays, metadata in loaded
        for name, array in arrays.items()
    }
    return grid.figure, (plotted, {"grids": [metadata for _, metadata in loaded]})
