"""Training curves: the mean training loss of each epoch, as checkpoints and records hold it.

A checkpoint has every epoch. Its record has about `POINTS` evenly spaced ones. The loss depends on the model:
reconstruction, NT-Xent, cross-entropy or the robust objective.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from uae import identity, storage
from uae.errors import BadFile, InputError

POINTS = 100  # the most points of a record's curve, because git keeps records


class Point(NamedTuple):
    """The mean training loss of one epoch of one training.

    step: the number of gradient steps at the end of the epoch.
    """

    dataset: str
    variant: str
    model: str
    method: str
    seed: int
    draw: int | None
    epoch: int
    step: int
    loss: float


def thinned(history: list[float]) -> dict[str, list[int] | list[float]]:
    """The epochs and losses of a history that a record keeps: every k-th epoch, the first and the last.

    >>> thinned([0.5, 0.25])
    {'epoch': [1, 2], 'loss': [0.5, 0.25]}
    """
    count = len(history)
    apart = 2 ** max(0, math.ceil(math.log2(max(count, 1) / POINTS)))  # lengths share epochs
    epochs = [epoch for epoch in range(1, count + 1) if epoch % apart == 0 or epoch in (1, count)]
    return {"epoch": [*epochs], "loss": [float(f"{history[epoch - 1]:.7g}") for epoch in epochs]}


def of_checkpoint(path: Path) -> list[Point]:
    """All epochs of a checkpoint's training; empty for a converted model. Raises BadFile naming the file."""
    metadata = storage.read_tensors(path)[1]
    try:
        names, history = identity.names(path), metadata["history"]
        each = metadata["steps"] // max(len(history), 1)
        known = (names.dataset, metadata["variant"], names.model, metadata["method"], names.seed, names.draw)
        return [Point(*known, epoch, epoch * each, float(loss)) for epoch, loss in enumerate(history, 1)]
    except (KeyError, TypeError, ValueError, InputError) as error:
        raise BadFile(f"{path}: not a checkpoint of the workflow ({error})") from None


def of_records(records: Iterable[Any]) -> Iterator[Point]:
    """The points that `uae.records.Record`s keep. A training that several records share counts once."""
    seen = set()
    for record in records:
        curve: Mapping[str, Any] | None = record.curve
        if curve is None:
            continue
        known = (
            record.dataset, record.variant, record.model, curve["method"], record.seed, record.draw
        )  # fmt: skip
        if known not in seen:
            seen.add(known)
            each = record.metrics["steps"] / record.metrics["epochs"]
            for epoch, loss in zip(curve["epoch"], curve["loss"], strict=True):
                yield Point(*known, int(epoch), round(epoch * each), loss)
