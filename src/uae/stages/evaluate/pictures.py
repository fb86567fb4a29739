"""Write the images and curves of Figures 1 to 4."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from uae.evaluation import robustness
from uae.stages import Progress
from uae.stages.evaluate.attacked import Attacked


def figure1(
    target: Path,
    *,
    data: Path,
    checkpoint: Path,
    uae: Sequence[Path],
    settings: dict[str, Any],
    device: str = "cpu",
    progress: Progress | None = None,
) -> None:
    """Write the first attacked images, their examples, and the classifier's prediction for each.

    uae: one set per method in `settings["methods"]`, at `settings["eps"]`.
    """
    attacked, shown = Attacked(target, data, checkpoint, uae, device), settings["shown"]
    results = dict(zip(settings["methods"], attacked.results, strict=True))
    images = {"original": attacked.originals(attacked.results[0])[:shown]}
    images |= {method: result.adv[:shown] for method, result in results.items()}
    arrays = {name: batch.numpy() for name, batch in images.items()}
    for name, batch in images.items():
        logits = robustness.logits(attacked.model, batch.to(device))
        arrays[f"predicted/{name}"] = logits.argmax(1).cpu().numpy()
    arrays |= {f"success/{method}": result.success[:shown].numpy() for method, result in results.items()}
    attacked.show(arrays, eps=settings["eps"], methods=settings["methods"])


figure4 = figure1  # at the smaller eps


def figure2(
    target: Path,
    *,
    data: Path,
    checkpoint: Path,
    uae: Sequence[Path],
    settings: dict[str, Any],
    device: str = "cpu",
    progress: Progress | None = None,
) -> None:
    """Write a curve per method in `settings["methods"]`: the best MI of a success after each iteration."""
    attacked = Attacked(target, data, checkpoint, uae, device)
    curves: dict[str, np.ndarray] = {}
    for method, result in zip(settings["methods"], attacked.results, strict=True):
        assert result.trace is not None  # compared attacks are traced
        trace = result.trace.double()
        found = trace.isfinite()
        count = found.sum(0)
        mean = torch.where(found, trace, 0).sum(0) / count
        spread = (torch.where(found, trace - mean, 0).square().sum(0) / count).sqrt()
        curves |= {
            f"{method}/mean": mean.float().numpy(),
            f"{method}/std": spread.float().numpy(),
            f"{method}/count": count.int().numpy(),
        }
    attacked.show(curves, methods=settings["methods"])


def figure3(
    target: Path,
    *,
    data: Path,
    checkpoint: Path,
    uae: Sequence[Path],
    settings: dict[str, Any],
    device: str = "cpu",
    progress: Progress | None = None,
) -> None:
    """Write the first attacked images and their examples. uae: MinMax's set at every eps, then PGD's."""
    attacked, eps, shown = (
        Attacked(target, data, checkpoint, uae, device),
        settings["eps"],
        settings["shown"],
    )
    methods, results = ["minmax", "pgd"], attacked.results
    arrays = {"original": attacked.originals(results[0])[:shown].numpy()}
    for number, method in enumerate(methods):
        sets = results[number * len(eps) : (number + 1) * len(eps)]
        arrays[method] = torch.stack([result.adv[:shown] for result in sets], 1).numpy()
        arrays[f"success/{method}"] = torch.stack([r.success[:shown] for r in sets], 1).numpy()
    attacked.show(arrays, eps=eps, methods=methods)
