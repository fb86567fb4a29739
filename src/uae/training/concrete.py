"""Fit a concrete autoencoder (Balin, Abid and Zou 2019): anneal the selection, in several tries."""

from __future__ import annotations

import logging
from bisect import bisect_right
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from uae.models.concrete import Concrete
from uae.training import loop
from uae.training.graphs import Graphed
from uae.training.losses import LOSSES
from uae.training.optimizers import OPTIMIZERS

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)


def temperature(done: float, start: float = 10.0, end: float = 0.1) -> float:
    """The geometric schedule: `start` at the beginning (done = 0), `end` at the end (done = 1)."""
    return start * (end / start) ** done


def fit(
    model: Concrete,
    x: Tensor,
    *,
    target: Tensor | None = None,
    loss: str = "mse",
    optimizer: str = "adam",
    lr: float = 1e-3,
    start_temperature: float = 10.0,
    end_temperature: float = 0.1,
    certainty: float = 0.998,
    tries: int = 5,
    batch_size: int | None = None,
    epochs: int,
    seed: int,
    resume: Path | None = None,
    tag: str = "",
    progress: Callable[[int, float], None] | None = None,
) -> list[float]:
    """Train `model` in place on x (N, *shape). Returns the mean loss of each epoch of every try.

    As in the published code, a try runs for all its epochs while the temperature falls from start to end. If
    the model's `certainty` (the mean of the selection maxima) is then too low, the next try begins from new
    weights and takes twice the epochs. After the last try its model is kept, and a warning states a low
    certainty.
    epochs: epochs of the first try.
    batch_size: None: max(N // 256, 16), as published.
    The other options are those of `loop.Options`. The schedule excludes early stopping.
    Raises Diverged, naming epoch and step, when the loss is not finite.
    """
    criterion = LOSSES[loss]
    stepper = OPTIMIZERS[optimizer](model.parameters(), lr)
    steps = loop.steps_per_epoch(len(x), batch_size)
    # Try i starts after epochs * (2^i - 1) epochs and ends where the next one starts.
    starts = [epochs * (2**i - 1) for i in range(tries + 1)]

    @Graphed
    def update(batch: Tensor, goal: Tensor, temperature: float | Tensor) -> Tensor:
        model.select.temperature = temperature
        value = criterion(model(batch), goal)
        stepper.zero_grad(set_to_none=True)
        value.backward()
        stepper.step()
        return value.detach()

    def step(batch: Tensor, goal: Tensor, number: int) -> Tensor:
        current = bisect_right(starts, number // steps) - 1
        first, last = starts[current] * steps, starts[current + 1] * steps
        done = (number + 1 - first) / (last - first)
        return update(batch, goal, temperature(done, start_temperature, end_temperature))

    def settled(done: int) -> bool:
        """Whether the try that ends here is the last. If it is not, draw the weights of the next try."""
        if done not in starts:
            return False
        reached = model.certainty
        if reached >= certainty:
            return True
        if done == starts[-1]:
            log.warning("certainty of the selection after the last try: %.3f, not %s", reached, certainty)
            return True
        with loop.seeded(seed, f"initialisation/{done}", x.device):
            model.initialise()
        for moments in stepper.state.values():
            for tensor in moments.values():
                tensor.zero_()  # in place, because a CUDA graph keeps their addresses
        return False

    return loop.run(
        model, [stepper], step, x, target,
        batch_size=batch_size, epochs=starts[-1], seed=seed,
        resume=resume, tag=tag, progress=progress, until=settled,
    )  # fmt: skip
