"""The MinMax attack (Algorithm 1) on many samples at once."""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from uae import seeding
from uae.attacks import checks
from uae.attacks.result import AttackResult
from uae.mine import MINE, Estimator
from uae.sampling import Features, default_for

Loss = Callable[[Tensor, Tensor], Tensor]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class MinMaxAttack:
    """min over delta, max over c >= 0 of c * f+(x + delta) + similarity(x, x + delta).

    For an unsupervised model the similarity is the per-sample mutual information, which is
    minimised under f <= 0, where f = loss(x_adv, x) - loss(x, x) + kappa: the result is a MINE-UAE.
    `maximize_mi` turns its sign for supervised attacks. With `mi=None` the loss itself is maximised
    under the same criterion: the L2-UAE baseline of section 5.4.

    eps: bound on |delta| per feature.  steps: T.  alpha: step of delta.  beta: step of c.
    kappa: margin of the criterion.  c0: first value of c.
    decay_power: c is multiplied by 1 - beta / t**decay_power (1/4 in Algorithm 1).
    init: `zeros` (Algorithm 1) or `noise` (the released code: Glorot-uniform).
    on_failure: `original` replicates the sample (section 5.1); `best` keeps the iterate with the
        smallest f (the released code).
    mi_floor: iterates with an MI at or below do not count as the best (the released code: 0).
    bounds: the range of the data.
    batch_size: samples at a time; None fits them to the device. It changes no result.
    """

    eps: float = 1.0
    steps: int = 40
    alpha: float = 0.01
    beta: float = 0.1
    kappa: float = 0.0
    mi: MINE | None = field(default_factory=MINE)
    maximize_mi: bool = False
    c0: float = 0.0
    decay_power: float = 0.25
    init: Literal["zeros", "noise"] = "zeros"
    on_failure: Literal["original", "best"] = "original"
    mi_floor: float | None = None
    bounds: tuple[float, float] = (0.0, 1.0)
    batch_size: int | None = None

    def __post_init__(self) -> None:
        for name in ("eps", "alpha", "steps"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")
        for name in ("beta", "kappa", "c0"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must be at least 0, got {getattr(self, name)}")
        if self.init not in ("zeros", "noise") or self.on_failure not in ("original", "best"):
            raise ValueError(f"unknown init or on_failure: {self.init!r}, {self.on_failure!r}")
        if not self.bounds[0] < self.bounds[1]:
            raise ValueError(f"bounds must be (low, high), got {self.bounds}")

    @classmethod
    def released(cls, **changes: object) -> MinMaxAttack:
        """The authors' code where it differs from the paper's words; pair it with a squared loss.

        >>> MinMaxAttack.released(steps=20).init
        'noise'
        """
        return cls(**{"c0": 1e-3, "init": "noise", "on_failure": "best", "mi_floor": 0.0} | changes)

    def __call__(
        self,
        loss: Loss,
        images: Tensor,
        *,
        seed: int = 0,
        index: Tensor | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> AttackResult:
        """Attack `images` (N, *shape), floats within `bounds`.

        loss: (x_adv, x) -> (N,); see `uae.losses`.  seed, index: a sample's random numbers depend on
        `seed` and its `index` (0..N-1 unless given) alone, not on the batch it is in.
        progress: called with (samples done, samples in all).
        Raises ValueError naming the sample for values that are not finite or out of bounds, a loss
        of the wrong shape or not finite, a model in training mode, or K < 2 compressed samples.
        """
        index = checks.check_call(loss, images, index, self.bounds)
        features = None
        if self.mi is not None:
            sampler = self.mi.samples or default_for(getattr(loss, "model", None))
            features = sampler.bind(getattr(loss, "model", None), images, seed)
        size = self.batch_size or self._batch_size(images, features)
        parts = []
        for start in range(0, len(images), size):
            chunk = slice(start, start + size)
            part = loss.subset(chunk) if hasattr(loss, "subset") else loss
            parts.append(self._attack(part, images[chunk].detach(), seed, index[chunk], features))
            if progress is not None:
                progress(min(start + size, len(images)), len(images))
        result = AttackResult.concatenate(parts, {"attack": dataclasses.asdict(self), "seed": seed})
        checks.report_zero_gradients(log, result)
        return result

    def _attack(
        self, loss: Loss, x: Tensor, seed: int, index: Tensor, features: Features | None
    ) -> AttackResult:
        objective = _Objective(self, loss, x, seed, index, features)
        per_sample = (-1,) + (1,) * (x.ndim - 1)
        low, high = self.bounds

        def project(delta: Tensor) -> Tensor:
            return (x + delta.clamp(-self.eps, self.eps)).clamp(low, high) - x

        delta = torch.zeros_like(x)
        if self.init == "noise":
            delta = project(_glorot_noise(seed, index, x))
        c = x.new_full((len(x),), self.c0)
        best = x.new_full((len(x),), math.inf)
        kept, kept_mi = torch.zeros_like(x), x.new_full((len(x),), math.nan)
        kept_f, kept_loss = x.new_full((len(x),), math.inf), objective.clean.clone()
        kept_step = torch.zeros_like(index)
        # NaN is looked for once, at the end: a look at each step would stall a GPU.
        broken_loss, broken_mi = torch.zeros_like(c), torch.zeros_like(c)

        f, grad_f, similarity, grad_s, mi, _ = objective(delta)
        flat = (grad_f.flatten(1) == 0).all(1)
        for t in range(1, self.steps + 1):
            weight = torch.where(f > 0, c, 0).view(per_sample)
            delta = project(delta - self.alpha * (weight * grad_f + grad_s))
            f, grad_f, similarity, grad_s, mi, value = objective(delta)
            c = ((1 - self.beta / t**self.decay_power) * c + self.beta * f.clamp(min=0)).clamp(min=0)
            # A success always beats a failure; among failures the smallest f matters for `best`.
            better = (f <= 0) & (similarity < best)
            flat &= (grad_f.flatten(1) == 0).all(1)
            if self.mi is not None and self.mi_floor is not None:
                better &= mi > self.mi_floor
            best = torch.where(better, similarity, best)
            if self.on_failure == "best":
                better |= best.isinf() & (f < kept_f)
            better &= objective.eligible
            kept = torch.where(better.view(per_sample), delta, kept)
            kept_mi, kept_f = torch.where(better, mi, kept_mi), torch.where(better, f, kept_f)
            kept_loss, kept_step = torch.where(better, value, kept_loss), torch.where(better, t, kept_step)
            broken_loss, broken_mi = broken_loss + 0 * f, broken_mi + 0 * similarity
        checks.check_finite(broken_loss, index, "the loss of an iterate")
        checks.check_finite(broken_mi, index, "the similarity of an iterate")
        return AttackResult(
            adv=(x + kept).clamp(low, high),
            success=kept_f <= 0,
            mi=kept_mi,
            loss=kept_loss,
            loss_clean=objective.clean,
            step=kept_step,
            index=index,
            eligible=objective.eligible,
            zero_gradient=flat & objective.eligible,
        )

    def _batch_size(self, images: Tensor, features: Features | None) -> int:
        """As many samples as fit the memory to spend: 512 MiB, or a third of what a GPU has free."""
        budget = 2**29
        if images.device.type == "cuda":
            budget = torch.cuda.mem_get_info(images.device)[0] // 3
        need = 64 * images[0].numel() * images.itemsize  # activations of a small model
        if features is not None:
            with torch.no_grad():
                _, count, dim = features.compute(images[:1], 0).shape
            need += self.mi.state_bytes(dim, features.map_shape, images.itemsize)
            need += (6 * count * dim + 8 * count * (self.mi.inner_steps + 1)) * images.itemsize
        return max(1, min(len(images), budget // need))


class _Objective:
    """f, the similarity to be minimised, and their gradients, for one batch."""

    def __init__(self, attack: MinMaxAttack, loss: Loss, x: Tensor, seed: int, index: Tensor, features):
        self.attack, self.loss, self.x, self.index, self.features = attack, loss, x, index, features
        self.calls = 0
        with torch.no_grad():
            self.clean = loss(x, x)
        checks.check_loss(self.clean, len(x))
        checks.check_finite(self.clean, index, "the loss of the clean sample")
        eligible = getattr(loss, "eligible", lambda x: torch.ones(len(x), dtype=torch.bool, device=x.device))
        self.eligible = eligible(x)
        self.threshold = self.clean if getattr(loss, "relative", True) else torch.zeros_like(self.clean)
        if features is not None:
            with torch.no_grad():
                self.clean_features = features.compute(x, 0)
            self.estimator = Estimator(attack.mi, self.clean_features, features.map_shape, seed, index)

    def __call__(self, delta: Tensor) -> tuple[Tensor, ...]:
        """(f, its gradient, similarity, its gradient, MI, loss) at x + delta."""
        with torch.enable_grad():
            x_adv = (self.x + delta).requires_grad_()
            value = self.loss(x_adv, self.x)
            checks.check_loss(value, len(delta))
            (grad,) = torch.autograd.grad(value.sum(), x_adv)
        value = value.detach()
        f = value - self.threshold + self.attack.kappa
        if self.features is None:
            return f, grad, -value, -grad, torch.full_like(value, math.nan), value
        with torch.enable_grad():
            adv_features = self.features.compute(x_adv, self.calls)
        if self.features.redrawn:
            with torch.no_grad():
                self.clean_features = self.features.compute(self.x, self.calls)
        self.calls += 1
        mi, grad_features = self.estimator.estimate(self.clean_features, adv_features.detach())
        (grad_mi,) = torch.autograd.grad(adv_features, x_adv, grad_features)
        sign = -1 if self.attack.maximize_mi else 1
        return f, grad, sign * mi, sign * grad_mi, mi, value


def _glorot_noise(seed: int, index: Tensor, x: Tensor) -> Tensor:
    """The released code's first delta: TensorFlow's Glorot fan rule read on an N x H x W x C batch."""
    if x.ndim == 4:
        channels, height, width = x.shape[1:]
        fans = height * (width + channels)
    else:
        fans = 1 + x[0].numel()
    return seeding.uniform(seed, index, "delta", tuple(x.shape[1:]), math.sqrt(6 / fans), x.dtype)
