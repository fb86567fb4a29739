"""Projected gradient descent in the L-infinity ball (Madry et al.), on many samples at once."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from uae import limits, seeding
from uae.attacks import batches, checks, probe
from uae.attacks.restore import left_as_found
from uae.attacks.result import AttackResult
from uae.losses import Classification

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PGD:
    """Steps along the sign of the loss's gradient, projected to |delta| <= eps and to `bounds`.

    steps, step_size: None is 2.5 * eps / steps, as the paper sets it (appendix H.1).
    random_start: begin at a uniform point of the ball instead of at the sample.
    restarts: the number of starts. A sample that one start fooled takes no part in the next.
    batch_size: samples at a time; None is 250 on a CPU, and 1000 elsewhere or what a GPU's memory holds. It
        changes results by rounding alone.

    PGD keeps a sample's success with the largest loss (with `Margin`, the smallest). Without a success it
    keeps the iterate with the largest loss. A later step never replaces a success by a failure.

    >>> PGD(eps=0.1, steps=50).step
    0.005
    """

    eps: float
    steps: int = 100
    step_size: float | None = None
    random_start: bool = True
    restarts: int = 1
    bounds: tuple[float, float] = (0.0, 1.0)
    batch_size: int | None = None

    def __post_init__(self) -> None:
        limits.check_counts(self, "steps", "restarts")
        limits.check_numbers(self, "eps", *(() if self.step_size is None else ("step_size",)))
        if self.restarts > 1 and not self.random_start:
            raise ValueError(f"restarts = {self.restarts} without a random start repeat the same attack")
        checks.check_settings(self.bounds, self.batch_size)

    @property
    def step(self) -> float:
        return 2.5 * self.eps / self.steps if self.step_size is None else self.step_size

    def __call__(
        self,
        loss: Classification,
        images: Tensor,
        *,
        seed: int = 0,
        index: Tensor | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> AttackResult:
        """Attack `images` (N, *shape), floats within `bounds`.

        loss: `uae.losses.CrossEntropy` or `Margin` of the model and the labels.
        seed, index, progress: as for `MinMaxAttack`.
        The result's `zero_gradient` marks the samples whose gradient was zero at every iterate:
        their failure says nothing about the model. Raises ValueError naming the sample.
        """
        if not isinstance(loss, Classification):
            raise ValueError(
                "PGD needs a classifier's loss: uae.losses.CrossEntropy(model, labels), or Margin of the same"
            )
        parts = []
        with left_as_found(loss):
            with probe.explained(loss, images):
                index = checks.check_call(loss, images, seed, index, self.bounds)
                size = self.batch_size or self._fitting(loss, images)
                probe.probe_loss(loss.subset(slice(0, size)), images[:size].detach(), index)
            for start in range(0, len(images), size):
                rows = slice(start, start + size)
                x = images[rows].detach().clone()  # the caller's images stay unchanged
                parts.append(self._attack(loss.subset(rows), x, seed, index[rows]))
                checks.check_untouched(x, images[rows])
                if progress is not None:
                    progress(min(start + size, len(images)), len(images))
        result = AttackResult.concatenate(parts, {"attack": dataclasses.asdict(self), "seed": seed})
        checks.report_zero_gradients(log, result)
        return result

    def _fitting(self, loss: Classification, images: Tensor) -> int:
        """The samples of a batch that suit the device."""
        memory = batches.free(images.device)
        if memory is None:
            return 250 if images.device.type == "cpu" else 1000
        return min(1000, batches.fitting(batches.of_sample(loss, images), memory))

    def _attack(self, loss: Classification, x: Tensor, seed: int, index: Tensor) -> AttackResult:
        with torch.no_grad():
            clean = loss(x, x)
        checks.check_loss(clean, len(x))
        checks.check_finite(clean, index, "the loss of the clean sample")
        eligible = loss.eligible(x)
        result = AttackResult(
            adv=x.clone(),
            success=torch.zeros_like(eligible),
            mi=torch.full_like(clean, torch.nan),
            loss=clean.clone(),
            loss_clean=clean,
            step=torch.zeros_like(index),
            index=index,
            eligible=eligible,
            zero_gradient=eligible.clone(),
        )
        for restart in range(self.restarts):
            rows = (eligible & ~result.success).nonzero()[:, 0]
            if not len(rows):
                break
            start = x[rows]
            if self.random_start:
                noise = seeding.uniform(
                    seed, index[rows], f"pgd/{restart}", tuple(x.shape[1:]), self.eps, x.dtype
                )
                start = (start + noise).clamp(*self.bounds)
            self._descend(loss.subset(rows), x[rows], start, rows, restart == 0, result)
        return result

    def _descend(
        self, loss: Classification, x: Tensor, start: Tensor, rows: Tensor, first: bool, result: AttackResult
    ) -> None:
        """Run one start for some rows of a chunk and write the kept iterates into `result`."""
        assert result.zero_gradient is not None
        per_sample = (-1,) + (1,) * (x.ndim - 1)
        low, high = (x - self.eps).clamp(*self.bounds), (x + self.eps).clamp(*self.bounds)
        # The first start always keeps an iterate, so a failure also has an altered image.
        best = torch.full_like(result.loss[rows], -loss.sign * torch.inf) if first else result.loss[rows]
        kept, success, step = result.adv[rows], result.success[rows], result.step[rows]
        flat, broken = result.zero_gradient[rows], torch.zeros_like(best)
        x_adv = start
        for t in range(self.steps + 1):
            x_adv = x_adv.detach().requires_grad_()
            with torch.enable_grad():
                value, f = loss.evaluate(x_adv)
                checks.check_loss(value, len(x))
                # No step follows the last iterate, so its gradient is not needed.
                grad = checks.gradient(loss.sign * value, x_adv) if t < self.steps else None
            value, hit = value.detach(), f.detach() <= 0
            broken = broken + 0 * value
            if t or self.random_start:
                better = (hit & ~success) | ((hit == success) & (loss.sign * (value - best) > 0))
                kept = torch.where(better.view(per_sample), x_adv.detach(), kept)
                best, step = torch.where(better, value, best), torch.where(better, t, step)
                success = success | hit
            if grad is not None:
                flat = flat & (grad.flatten(1) == 0).all(1)
                x_adv = torch.minimum(torch.maximum(x_adv.detach() + self.step * grad.sign(), low), high)
        checks.check_finite(broken, result.index[rows], "the loss of an iterate")
        result.adv[rows], result.success[rows], result.loss[rows] = kept, success, best
        result.step[rows], result.zero_gradient[rows] = step, flat
