"""One chunk of an attack: the objective of its samples, and each sample's best iterate so far."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from uae import seeding
from uae.attacks import checks, threads
from uae.attacks.result import AttackResult
from uae.attacks.settings import Settings
from uae.attacks.threads import Loss
from uae.mine import Estimator
from uae.sampling import Features

STEPS_BETWEEN_REPORTS = 500  # steps between two reports of progress within a chunk


class Point(NamedTuple):
    """The values at x + delta: f and the similarity to be minimised, each (N,) with a gradient."""

    f: Tensor
    grad_f: Tensor
    similarity: Tensor
    grad_similarity: Tensor
    mi: Tensor
    loss: Tensor


class Problem:
    """The objective of one batch of samples, and the steps within the eps ball and the bounds."""

    def __init__(
        self,
        attack: Settings,
        loss: Loss,
        x: Tensor,
        seed: int,
        index: Tensor,
        features: Features | None,
        stop: threading.Event,
    ):
        self.attack, self.loss, self.x, self.seed, self.index = attack, loss, x, seed, index
        self.features, self.stop = features, stop
        with torch.no_grad():
            self.clean = loss(x, x)
        checks.check_loss(self.clean, len(x))
        checks.check_finite(self.clean, index, "the loss of the clean sample")
        everyone = torch.ones(len(x), dtype=torch.bool, device=x.device)
        self.eligible = loss.eligible(x) if hasattr(loss, "eligible") else everyone
        self.threshold = self.clean if getattr(loss, "relative", True) else torch.zeros_like(self.clean)
        self.without_gradient = self.eligible.clone()  # samples whose criterion has had no gradient so far
        self.few_gradients = False  # whether the last evaluation asked for less than half of the gradients
        self.restart()

    def restart(self) -> None:
        """Start with a new critic."""
        self.calls = 0
        if self.features is not None and self.attack.mi is not None:
            with torch.no_grad():
                self.clean_features = self.features.compute(self.x, 0).contiguous()
            checks.check_features(self.clean_features, self.x, self.features.what)
            self.estimator = Estimator(
                self.attack.mi,
                self.clean_features,
                self.features.map_shape,
                self.seed,
                self.index,
                self.features.standardize,
            )

    def start(self) -> Tensor:
        """The first delta."""
        if self.attack.init == "zeros":
            return torch.zeros_like(self.x)
        return self.project(_glorot_noise(self.seed, self.index, self.x))

    def project(self, delta: Tensor) -> Tensor:
        """Project delta into |delta| <= eps, then x + delta into the bounds."""
        eps = self.attack.eps
        return (self.x + delta.clamp(-eps, eps)).clamp(*self.attack.bounds) - self.x

    def descend(self, delta: Tensor, c: Tensor, point: Point) -> Tensor:
        """One projected gradient step; f+ has no gradient where f <= 0."""
        return self.project(delta - self.attack.alpha * self.gradient(c, point))

    def gradient(self, c: Tensor, point: Point) -> Tensor:
        """The gradient of F = c * f+ + similarity by delta."""
        weight = torch.where(point.f > 0, c, 0).view((-1,) + (1,) * (self.x.ndim - 1))
        return (weight * point.grad_f + point.grad_similarity).to(self.x.dtype)  # the loss's dtype may differ

    def stationarity(self, delta: Tensor, c: Tensor, point: Point) -> Tensor:
        """||L(delta, c)||^2 of section 4.2, (N,): the proximal gradient of F, 0 at a stationary point.

        Its component for c is c - P[c + f+] = -f+.
        """
        moved = delta - self.project(delta - self.gradient(c, point))
        return moved.flatten(1).square().sum(1) + point.f.clamp(min=0).square()

    def __call__(self, delta: Tensor) -> Point:
        if self.stop.is_set():
            raise threads.Stopped
        x_adv = self.x + delta
        f, value, grad = self._criterion(x_adv)
        if self.features is None:
            return Point(f, grad, -value, -grad, torch.full_like(value, math.nan), value)
        with torch.enable_grad():
            x_adv.requires_grad_()
            if self.features.redrawn is None:
                adv_features = self.features.compute(x_adv, self.calls)
            else:
                adv_features, self.clean_features = self.features.redrawn(x_adv, self.x, self.calls)
        self.calls += 1
        mi, grad_features = self.estimator.estimate(self.clean_features, adv_features.detach())
        grad_mi = checks.gradient(adv_features, x_adv, grad_features)
        sign = -1 if self.attack.maximize_mi else 1
        return Point(f, grad, sign * mi, sign * grad_mi, mi, value)

    def _criterion(self, x_adv: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """f and the loss, (N,), and the loss's gradient by x_adv.

        Where f <= 0, f+ has no gradient, so the loss's gradient is not needed there. It is only tested once
        for being nonzero. While f <= 0 for most samples, only the others are differentiated.
        """
        if self.few_gradients:
            with torch.no_grad():
                value = self.loss(x_adv, self.x)
            checks.check_loss(value, len(x_adv))
        else:
            value, grad = _differentiate(self.loss, x_adv, self.x)
        f = value - self.threshold + self.attack.kappa
        # The L2-UAE needs the gradient everywhere: the loss is its similarity. On a GPU, reading f forces a
        # synchronisation.
        if self.features is not None and self.x.device.type == "cpu":
            asked = (f > 0) | self.without_gradient
            if self.few_gradients:
                grad, rows = torch.zeros_like(x_adv), asked.nonzero()[:, 0]
                if len(rows):
                    grad[rows] = _differentiate(part_of(self.loss, rows), x_adv[rows], self.x[rows])[1]
            self.few_gradients = 2 * int(asked.sum()) < len(asked)
        self.without_gradient &= (grad.flatten(1) == 0).all(1)
        return f, value, grad


def part_of(loss: Loss, rows: slice | Tensor) -> Loss:
    """The loss of some of the samples."""
    return loss.subset(rows) if hasattr(loss, "subset") else loss


def _differentiate(loss: Loss, x_adv: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """The loss (N,) and its gradient by x_adv."""
    x_adv = x_adv.detach().requires_grad_()
    with torch.enable_grad():
        value = loss(x_adv, x)
        checks.check_loss(value, len(x))
        return value.detach(), checks.gradient(value, x_adv)


class Incumbents:
    """Each sample's best iterate so far: the success with the smallest similarity."""

    def __init__(self, problem: Problem, trace: bool, progress: Callable[[int], None]):
        x, clean = problem.x, problem.clean
        self.problem, self.attack = problem, problem.attack
        self.similarity = torch.full_like(clean, math.inf)
        self.delta, self.mi = torch.zeros_like(x), torch.full_like(clean, math.nan)
        self.f, self.loss = torch.full_like(clean, math.inf), clean.clone()
        self.step = torch.zeros_like(problem.index)
        # NaN is checked once, at the end: a check at each step would synchronise with the GPU.
        self.broken_loss, self.broken_mi = torch.zeros_like(clean), torch.zeros_like(clean)
        self.trace = clean.new_full((self.attack.total_steps, len(x)), math.nan) if trace else None
        self.stationarity: Tensor | None = None
        self.progress = progress

    def offer(self, step: int, delta: Tensor, point: Point) -> None:
        """Consider the iterate of a step (from 1)."""
        if step % STEPS_BETWEEN_REPORTS == 0:
            self.progress(step)
        # A success always beats a failure; among failures the smallest f matters for `best`.
        better = point.f <= 0
        if self.attack.keep == "best":
            better &= point.similarity < self.similarity
        if self.attack.mi is not None and self.attack.mi_floor is not None:
            better &= point.mi > self.attack.mi_floor
        better &= self.problem.eligible
        self.similarity = torch.where(better, point.similarity, self.similarity)
        if self.trace is not None:
            sign = -1 if self.attack.maximize_mi else 1
            self.trace[step - 1] = sign * self.similarity
        if self.attack.on_failure == "best":
            better |= self.problem.eligible & self.similarity.isinf() & (point.f < self.f)
        rows = better.view((-1,) + (1,) * (delta.ndim - 1))
        self.delta = torch.where(rows, delta, self.delta)
        self.mi, self.f = torch.where(better, point.mi, self.mi), torch.where(better, point.f, self.f)
        self.loss, self.step = (
            torch.where(better, point.loss, self.loss),
            torch.where(better, step, self.step),
        )
        self.broken_loss, self.broken_mi = (
            self.broken_loss + 0 * point.f,
            self.broken_mi + 0 * point.similarity,
        )

    def result(self) -> AttackResult:
        problem = self.problem
        checks.check_finite(self.broken_loss, problem.index, "the loss of an iterate")
        checks.check_finite(self.broken_mi, problem.index, "the similarity of an iterate")
        if self.trace is not None:
            self.trace[self.trace.isinf()] = math.nan
        return AttackResult(
            adv=(problem.x + self.delta).clamp(*self.attack.bounds),
            success=self.f <= 0,
            mi=self.mi,
            loss=self.loss,
            loss_clean=problem.clean,
            step=self.step,
            index=problem.index,
            eligible=problem.eligible,
            zero_gradient=problem.without_gradient,
            trace=None if self.trace is None else self.trace.T.contiguous(),
            stationarity=self.stationarity,
        )


def _glorot_noise(seed: int, index: Tensor, x: Tensor) -> Tensor:
    """The released code's first delta: TensorFlow's Glorot fan rule read on an N x H x W x C batch."""
    if x.ndim == 4:
        channels, height, width = x.shape[1:]
        fans = height * (width + channels)
    else:
        fans = 1 + x[0].numel()
    return seeding.uniform(seed, index, "delta", tuple(x.shape[1:]), math.sqrt(6 / fans), x.dtype)
