"""Figure 6: MNIST images attacked by MinMax and PGD on two robust models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from uae import storage
from uae.errors import InputError
from uae.paper.figures import TWO_COLUMNS
from uae.paper.images import by_eps
from uae.paper.names import name_of

WIDTH = TWO_COLUMNS
ATTACKS = ("minmax", "pgd")


def draw(inputs: list[Path], width: float) -> tuple[Figure, tuple[dict[str, Any], dict[str, Any]]]:
    """Draw a row per image, model and attack, and a column per eps after the original. Failures are crossed.

    Each input holds one model's images (`uae.stages.evaluate.robust.figure6`): original (n, C, H, W), eps
    (E,), and for each attack its examples (E, n, C, H, W) and successes (E, n).
    """
    needed = ["original", "eps", *ATTACKS, *(f"{attack}_success" for attack in ATTACKS)]
    # only the first seed of each model
    first: dict[tuple[str, str], tuple[dict[str, Any], dict[str, Any]]] = {}
    for arrays, metadata in [storage.read_tensors(path, *needed) for path in inputs]:
        first.setdefault((metadata["dataset"], metadata["model"]), (arrays, metadata))
    loaded = list(first.values())
    if len({tuple(arrays["eps"].tolist()) for arrays, _ in loaded}) > 1:
        raise InputError(f"Figure 6: {', '.join(map(str, inputs))}: the models are attacked at different eps")
    lines = [
        (arrays, metadata, attack, image)
        for arrays, metadata in loaded
        for attack in ATTACKS
        for image in range(len(arrays["original"]))
    ]
    arrays, metadata = loaded[0]
    grid, shown = by_eps(metadata, arrays["eps"].tolist(), width, len(lines), margin=0.95)
    for row, (arrays, about, attack, image) in enumerate(lines):
        label = f"{name_of(about['model'])},\n{name_of(attack)}"
        other = f"\n(data: {about['variant']})" if about["variant"] != metadata["variant"] else ""
        grid.label(label + other, row)
        grid.show(arrays["original"][image], row, 0)
        for column, place in enumerate(shown, start=1):
            failed = not arrays[f"{attack}_success"][place, image]
            grid.show(arrays[attack][place, image], row, column, failed=failed)
    plotted = {
        f"{metadata['dataset']}/{metadata['model']}/{name}": array
        for arrays, metadata in loaded
        for name, array in arrays.items()
    }
    return grid.figure, (plotted, {"grids": [metadata for _, metadata in loaded]})
