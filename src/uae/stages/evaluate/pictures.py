"""Write the images and curves of Figures 1 to 4."""

from __future__ import annotations

import numpy as np
import torch

from uae.evaluation import robustness
from uae.stages.evaluate.subject import Subject


def figure1(subject: Subject) -> None:
    """Write the first attacked images, their examples, and the classifier's prediction for each.

    Inputs: `uae`, one set per method in the setting `methods`, at the setting `eps`.
    """
    shown, methods, (first, *_) = subject.settings["shown"], subject.settings["methods"], subject.sets()
    results = dict(zip(methods, subject.sets(), strict=True))
    images = {"original": subject.originals(first, "test")[:shown]}
    images |= {method: result.adv[:shown] for method, result in results.items()}
    arrays = {name: batch.numpy() for name, batch in images.items()}
    for name, batch in images.items():
        logits = robustness.logits(subject.model, batch.to(subject.device))
        arrays[f"predicted/{name}"] = logits.argmax(1).cpu().numpy()
    arrays |= {f"success/{method}": result.success[:shown].numpy() for method, result in results.items()}
    subject.show(arrays, eps=subject.settings["eps"], methods=methods)


figure4 = figure1  # at the smaller eps


def figure2(subject: Subject) -> None:
    """Write a curve per method in the setting `methods`: the best MI of a success after each iteration."""
    curves: dict[str, np.ndarray] = {}
    for method, result in zip(subject.settings["methods"], subject.sets(), strict=True):
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
    subject.show(curves, methods=subject.settings["methods"])


def figure3(subject: Subject) -> None:
    """Write the first attacked images and their examples.

    Inputs: `uae`, MinMax's set at every eps, then PGD's.
    """
    eps, shown, results = subject.settings["eps"], subject.settings["shown"], subject.sets()
    methods = ["minmax", "pgd"]
    arrays = {"original": subject.originals(results[0], "test")[:shown].numpy()}
    for number, method in enumerate(methods):
        sets = results[number * len(eps) : (number + 1) * len(eps)]
        arrays[method] = torch.stack([result.adv[:shown] for result in sets], 1).numpy()
        arrays[f"success/{method}"] = torch.stack([r.success[:shown] for r in sets], 1).numpy()
    subject.show(arrays, eps=eps, methods=methods)
