"""The common loop of all trainings: shuffling, seeds, early stopping, the best weights, resuming."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Required, TypedDict

import torch
from torch import Tensor, nn

from uae import seeding
from uae.errors import Diverged
from uae.training import state as states

SECONDS_BETWEEN_SAVES = 10.0

Step = Callable[[Tensor, Tensor, int], Tensor]


class Options(TypedDict, total=False):
    """Keywords of every `fit`.

    batch_size: None: as in the concrete autoencoder's published code, max(N // 256, 16).
    epochs: the most epochs.
    seed: the seed of shuffling, dropout and similar operations.
    resume: a file that holds the state of the last epoch while the training runs. If it exists when the
        training starts, it continues from there and ends with the weights of an uninterrupted run.
    tag: identifies data and settings. A state with another tag, or a truncated file `*.partial`, is ignored.
        Another file is refused.
    progress: called with (epochs done, loss of the epoch).
    patience: stop after this number of epochs in a row without a lower training loss; None: never.
    min_delta: what counts as an improvement, relative to the lowest loss so far.
    keep_best: end with the weights of the epoch with the lowest training loss (Table 8), not with the last
        weights. An epoch's loss is the mean over its steps, and its weights are those after its last step.
    drop_last: leave out an epoch's last batch if it is smaller than the others.
    """

    batch_size: Required[int | None]
    epochs: Required[int]
    seed: Required[int]
    resume: Path | None
    tag: str
    progress: Callable[[int, float], None] | None
    patience: int | None
    min_delta: float
    keep_best: bool
    drop_last: bool


def run(
    model: nn.Module,
    optimizers: states.Optimizers,
    step: Step,
    x: Tensor,
    target: Tensor | None = None,
    *,
    batch_size: int | None,
    epochs: int,
    seed: int,
    resume: Path | None = None,
    tag: str = "",
    progress: Callable[[int, float], None] | None = None,
    patience: int | None = None,
    min_delta: float = 0.0,
    keep_best: bool = False,
    drop_last: bool = False,
    until: Callable[[int], bool] | None = None,
) -> list[float]:
    """Train `model` in place on x (N, *shape). Returns the mean loss of each epoch. See `Options`.

    step: updates the model on a batch. It gets the inputs, the targets and the number of steps done so far,
        and returns the batch's mean loss, detached.
    until: called after each epoch with the number of epochs done; True ends the training.
    Raises Diverged, naming epoch and step, if the loss or a weight is not finite. The last good state
    stays in `resume`.
    """
    if target is not None and target.shape != x.shape:
        raise ValueError(f"targets have shape {tuple(target.shape)}, the inputs {tuple(x.shape)}")
    size, count = _batch_size(len(x), batch_size), steps_per_epoch(len(x), batch_size, drop_last)
    used = min(len(x), count * size)
    state = states.restore(resume, tag, model, optimizers)
    history = state.history
    saved = time.monotonic()
    start = saved - state.seconds
    model.train()
    while len(history) < epochs and not stalled(history, patience, min_delta):
        epoch = len(history)
        steps = []
        with seeded(seed, f"training/{epoch}", x.device):
            for number, rows in enumerate(_shuffled(x, seed, epoch)[:used].split(size)):
                batch = x[rows]
                goal = batch if target is None else target[rows]
                steps.append(step(batch, goal, epoch * count + number) * len(rows))
        losses = torch.stack(steps)
        if not losses.isfinite().all():  # once per epoch: reading it in each step forces a synchronisation
            bad = int((~losses.isfinite()).nonzero()[0])
            raise Diverged(f"the loss is {losses[bad].item()} at epoch {epoch}, step {bad}")
        history.append(losses.sum().item() / used)
        if progress is not None:
            progress(epoch + 1, history[-1])
        if not states.finite(model):  # the last step can break the weights when all losses were finite
            raise Diverged(f"the weights are not finite after epoch {epoch}, step {count - 1}")
        if keep_best and history[-1] <= min(history):
            state.best = states.weights(model)
        if until is not None and until(epoch + 1):
            break
        if resume is not None and time.monotonic() - saved > SECONDS_BETWEEN_SAVES:
            state.seconds = time.monotonic() - start
            states.save(resume, tag, model, optimizers, state)
            saved = time.monotonic()
    if state.best:
        model.load_state_dict(state.best)
    model.eval()
    return history


def check_labels(y: Tensor, classes: int) -> None:
    """Raise ValueError naming the first sample whose label is not one of 0 to classes - 1."""
    for i in ((y < 0) | (y >= classes)).nonzero()[:1, 0].tolist():
        raise ValueError(f"sample {i}: the label {int(y[i])} is outside 0..{classes - 1}")


def steps_per_epoch(n: int, batch_size: int | None, drop_last: bool = False) -> int:
    """The number of updates in one pass over n samples. The last batch may be smaller, or left out."""
    size = _batch_size(n, batch_size)
    return n // size if drop_last else math.ceil(n / size)


def stalled(history: list[float], patience: int | None, min_delta: float = 0.0) -> bool:
    """Whether each of the last `patience` epochs failed to improve on the lowest loss before it.

    It uses the history alone, so a resumed training stops at the same epoch as an uninterrupted one.
    """
    if patience is None:
        return False
    lowest, waited = math.inf, 0
    for loss in history:
        improved = loss < lowest * (1 - min_delta)
        lowest, waited = (loss, 0) if improved else (lowest, waited + 1)
    return waited >= patience


@contextlib.contextmanager
def seeded(seed: int, purpose: str, device: torch.device) -> Iterator[None]:
    """Seed PyTorch's default generators with (seed, purpose) inside the block, and restore them after it.

    It serves operations that take no generator, such as dropout and initialisation. It covers the generators
    of the CPU and of `device`.
    """
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seeding.derive(seed, purpose))
        yield


def _batch_size(n: int, batch_size: int | None) -> int:
    return max(n // 256, 16) if batch_size is None else batch_size


def _shuffled(x: Tensor, seed: int, epoch: int) -> Tensor:
    """The rows of x in the epoch's order, int64 (N,) on x's device."""
    generator = torch.Generator().manual_seed(seeding.derive(seed, f"shuffle/{epoch}"))
    return torch.randperm(len(x), generator=generator).to(x.device)
