"""What the attacks under a criterion share: settings, the objective, and the best iterate so far."""

from __future__ import annotations

import dataclasses
import logging
import math
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from uae import seeding
from uae.attacks import checks, threads
from uae.attacks.result import AttackResult
from uae.attacks.threads import Loss
from uae.errors import BadFile
from uae.mine import MINE, Estimator
from uae.sampling import CPU_SAMPLES, Features, default_for

log = logging.getLogger(__name__)

STEPS_BETWEEN_REPORTS = 500  # of a long attack's progress within a chunk of samples
# What is done is saved after this long, and so seldom that saving takes this share of the time at most
SECONDS_BETWEEN_SAVES = 10.0
SAVING_SHARE = 0.05


@dataclass(frozen=True)
class ConstrainedAttack:
    """Descent on c * f+(x + delta) + similarity(x, x + delta), with f <= 0 where the attack succeeds.

    For an unsupervised model the similarity is the per-sample mutual information, which is minimised;
    f = loss(x_adv, x) - loss(x, x) + kappa. For a supervised one, `maximize_mi` turns its sign and
    f is the classifier's margin plus kappa. With `mi=None` the loss itself is maximised.

    eps: bound on |delta| per feature.  steps: T.  alpha: step of delta.
    kappa: margin of the criterion.  c0: first value of c.
    init: `zeros` (Algorithm 1) or `noise` (the released code: Glorot-uniform).
    keep: of the successes, the `best` (smallest similarity) or the `last`.
    on_failure: `original` replicates the sample (section 5.1); `best` keeps the iterate with the
        smallest f (the released code).
    mi_floor: iterates with an MI at or below do not count as the best (the released code: 0).
    bounds: the range of the data.
    batch_size: samples at a time; None fits them to the device. It changes no result.

    On a CPU each thread that PyTorch may use attacks a batch of its own, with a deep copy of the loss,
    where that says `threaded` (`uae.losses`).
    """

    eps: float = 1.0
    steps: int = 40
    alpha: float = 0.01
    kappa: float = 0.0
    mi: MINE | None = field(default_factory=MINE)
    maximize_mi: bool = False
    c0: float = 0.0
    init: Literal["zeros", "noise"] = "zeros"
    keep: Literal["best", "last"] = "best"
    on_failure: Literal["original", "best"] = "original"
    mi_floor: float | None = None
    bounds: tuple[float, float] = (0.0, 1.0)
    batch_size: int | None = None

    def __post_init__(self) -> None:
        for name in ("eps", "alpha", "steps"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")
        for name in ("kappa", "c0"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must be at least 0, got {getattr(self, name)}")
        for name, known in (
            ("init", ("zeros", "noise")),
            ("keep", ("best", "last")),
            ("on_failure", ("original", "best")),
        ):
            if getattr(self, name) not in known:
                raise ValueError(f"{name}: {getattr(self, name)!r} is not one of {', '.join(known)}")
        checks.check_settings(self.bounds, self.batch_size)

    @property
    def total_steps(self) -> int:
        return self.steps

    def __call__(
        self,
        loss: Loss,
        images: Tensor,
        *,
        seed: int = 0,
        index: Tensor | None = None,
        progress: Callable[[int, int], None] | None = None,
        trace: bool = False,
        resume: Path | None = None,
        tag: str = "",
    ) -> AttackResult:
        """Attack `images` (N, *shape), floats within `bounds`.

        loss: (x_adv, x) -> (N,); see `uae.losses`.  seed, index: a sample's random numbers depend on
        `seed` and its `index` (0..N-1 unless given) alone, not on the batch it is in.
        progress: called with (samples done, samples in all); in a long attack also within a chunk, and
            from that chunk's thread.
        trace: also follow the attack: see the result's `trace` and `stationarity`.
        resume: a file that holds the chunks done, in float32, while the attack runs. If it exists when the
            attack starts, the attack goes on from there. The caller deletes it in the end.
        tag: names model, data and settings; a file left under another tag, or half a file, is not used.
        Raises ValueError naming the sample for values that are not finite or out of bounds, a loss
        of the wrong shape or not finite, a model in training mode, or K < 2 compressed samples.
        """
        index = checks.check_call(loss, images, index, self.bounds)
        if resume is not None and not tag:
            raise ValueError(f"resume={resume} needs a tag, or it could go on from another attack's samples")
        features = self._features(loss, images, seed)
        at_once, size = self._batches(loss, images, features)
        contexts = [(loss, features)]
        if at_once > 1:
            contexts = [(own, self._features(own, images, seed)) for own in threads.copies(loss, at_once)]
        parts, seconds = _left(resume, tag, images.device)
        chunks = [
            slice(at, min(at + size, len(images))) for at in range(sum(map(len, parts)), len(images), size)
        ]
        done = threads.Done(progress, len(images), sum(map(len, parts)))

        def work(context: tuple[Loss, Features | None], rows: slice, stop: threading.Event) -> AttackResult:
            own, features = context
            problem = Problem(self, _of(own, rows), images[rows].detach(), seed, index[rows], features, stop)
            steps = self.total_steps + 1
            kept = Kept(problem, trace, lambda step: done(rows, (rows.stop - rows.start) * step // steps))
            self._search(problem, kept)
            return kept.result()

        start = time.monotonic() - seconds
        due = time.monotonic() + SECONDS_BETWEEN_SAVES
        with closing(threads.in_order(work, chunks, contexts)) as results:
            for rows, part in zip(chunks, results, strict=True):
                parts.append(part)
                done(rows, rows.stop - rows.start)
                if resume is not None and rows.stop < len(images) and (now := time.monotonic()) > due:
                    AttackResult.concatenate(parts, {"tag": tag, "seconds": now - start}).save(resume)
                    taken = time.monotonic() - now
                    due = now + taken + max(SECONDS_BETWEEN_SAVES, taken / SAVING_SHARE)
        result = AttackResult.concatenate(parts, {"attack": dataclasses.asdict(self), "seed": seed})
        checks.report_zero_gradients(log, result)
        return result

    def _search(self, problem: Problem, kept: Kept) -> None:
        raise NotImplementedError

    def _features(self, loss: Loss, images: Tensor, seed: int) -> Features | None:
        if self.mi is None:
            return None
        model = getattr(loss, "model", None)
        return (self.mi.samples or default_for(model)).bind(model, images, seed)

    def _batches(self, loss: Loss, images: Tensor, features: Features | None) -> tuple[int, int]:
        """How many batches at once, and of how many samples.

        As many samples as fit the memory to spend: 512 MiB, or a third of a GPU's free memory up to 8 GiB.
        More would not fill a GPU better, and jobs can share one. On the CPU no more than the features ask
        for, since more would leave the cache; and of several threads' batches all have one size.
        """
        budget, most = 2**29, CPU_SAMPLES if features is None else features.cpu_samples
        if images.device.type == "cuda":
            budget, most = min(torch.cuda.mem_get_info(images.device)[0] // 3, 2**33), len(images)
        need = 64 * images[0].numel() * images.itemsize  # activations of a small model
        if features is not None:
            with torch.no_grad():
                _, count, dim = features.compute(images[:1], 0).shape
            itemsize = max(4, images.itemsize)  # of the critics
            need += self.mi.state_bytes(dim, features.map_shape, itemsize)
            need += (6 * count * dim + 8 * count * (self.mi.inner_steps + 1)) * itemsize
        at_once = 1
        if (features is None or features.threaded) and threads.suitable(loss, images.device):
            at_once = max(1, min(torch.get_num_threads(), len(images) // threads.FEWEST, budget // need))
        size = self.batch_size or max(1, min(len(images), most, budget // at_once // need))
        if at_once > 1 and self.batch_size is None:
            rounds = math.ceil(len(images) / (size * at_once))
            size = math.ceil(len(images) / (rounds * at_once))
        return at_once, size


class Point(NamedTuple):
    """What is known at x + delta: f and the similarity to be minimised, each (N,) with a gradient."""

    f: Tensor
    grad_f: Tensor
    similarity: Tensor
    grad_similarity: Tensor
    mi: Tensor
    loss: Tensor


class Problem:
    """The objective of one batch of samples, and the steps that stay inside its two balls."""

    def __init__(
        self,
        attack: ConstrainedAttack,
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
        self.flat = self.eligible.clone()  # whose criterion has had no gradient so far
        self.few = False  # whether the last evaluation asked for less than half of the gradients
        self.restart()

    def restart(self) -> None:
        """Begin with a new critic."""
        self.calls = 0
        if self.features is not None:
            with torch.no_grad():
                self.clean_features = self.features.compute(self.x, 0).contiguous()
            self.estimator = Estimator(
                self.attack.mi, self.clean_features, self.features.map_shape, self.seed, self.index
            )

    def start(self) -> Tensor:
        """The first delta."""
        if self.attack.init == "zeros":
            return torch.zeros_like(self.x)
        return self.project(_glorot_noise(self.seed, self.index, self.x))

    def project(self, delta: Tensor) -> Tensor:
        """Into |delta| <= eps, then x + delta into the bounds."""
        eps = self.attack.eps
        return (self.x + delta.clamp(-eps, eps)).clamp(*self.attack.bounds) - self.x

    def descend(self, delta: Tensor, c: Tensor, point: Point) -> Tensor:
        """One projected gradient step; f+ has no gradient where f <= 0."""
        return self.project(delta - self.attack.alpha * self.gradient(c, point))

    def gradient(self, c: Tensor, point: Point) -> Tensor:
        """Of F = c * f+ + similarity by delta."""
        weight = torch.where(point.f > 0, c, 0).view((-1,) + (1,) * (self.x.ndim - 1))
        return weight * point.grad_f + point.grad_similarity

    def stationarity(self, delta: Tensor, c: Tensor, point: Point) -> Tensor:
        """||L(delta, c)||^2 of section 4.2, (N,): the proximal gradient of F, 0 at a stationary point.

        Its part by c is c - P[c + f+] = -f+.
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
            adv_features = self.features.compute(x_adv.requires_grad_(), self.calls)
        if self.features.redrawn:
            with torch.no_grad():
                self.clean_features = self.features.compute(self.x, self.calls).contiguous()
        self.calls += 1
        mi, grad_features = self.estimator.estimate(self.clean_features, adv_features.detach())
        (grad_mi,) = torch.autograd.grad(adv_features, x_adv, grad_features)
        sign = -1 if self.attack.maximize_mi else 1
        return Point(f, grad, sign * mi, sign * grad_mi, mi, value)

    def _criterion(self, x_adv: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """f and the loss, (N,), and the loss's gradient by x_adv.

        Nobody asks for the gradient where f <= 0, once it is known not to be zero everywhere: f+ has none
        there. While that holds for most samples, the others alone go back through the model.
        """
        if self.few:
            with torch.no_grad():
                value = self.loss(x_adv, self.x)
            checks.check_loss(value, len(x_adv))
        else:
            value, grad = _differentiate(self.loss, x_adv, self.x)
        f = value - self.threshold + self.attack.kappa
        # Of the L2-UAE the loss is the similarity, too. On a GPU the look at f would wait for the device.
        if self.features is not None and self.x.device.type == "cpu":
            asked = (f > 0) | self.flat
            if self.few:
                grad, rows = torch.zeros_like(x_adv), asked.nonzero()[:, 0]
                if len(rows):
                    grad[rows] = _differentiate(_of(self.loss, rows), x_adv[rows], self.x[rows])[1]
            self.few = 2 * int(asked.sum()) < len(asked)
        self.flat &= (grad.flatten(1) == 0).all(1)
        return f, value, grad


def _of(loss: Loss, rows: slice | Tensor) -> Loss:
    """The loss of some of the samples."""
    return loss.subset(rows) if hasattr(loss, "subset") else loss


def _differentiate(loss: Loss, x_adv: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """The loss (N,) and its gradient by x_adv."""
    x_adv = x_adv.detach().requires_grad_()
    with torch.enable_grad():
        value = loss(x_adv, x)
        checks.check_loss(value, len(x))
        return value.detach(), checks.gradient(value, x_adv)


class Kept:
    """Each sample's best iterate so far: the success with the smallest similarity."""

    def __init__(self, problem: Problem, trace: bool, progress: Callable[[int], None]):
        x, clean = problem.x, problem.clean
        self.problem, self.attack = problem, problem.attack
        self.similarity = torch.full_like(clean, math.inf)
        self.delta, self.mi = torch.zeros_like(x), torch.full_like(clean, math.nan)
        self.f, self.loss = torch.full_like(clean, math.inf), clean.clone()
        self.step = torch.zeros_like(problem.index)
        # NaN is looked for once, at the end: a look at each step would stall a GPU.
        self.broken_loss, self.broken_mi = torch.zeros_like(clean), torch.zeros_like(clean)
        self.trace = clean.new_full((self.attack.total_steps, len(x)), math.nan) if trace else None
        self.stationarity = None
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
            zero_gradient=problem.flat,
            trace=None if self.trace is None else self.trace.T.contiguous(),
            stationarity=self.stationarity,
        )


def _left(resume: Path | None, tag: str, device: torch.device) -> tuple[list[AttackResult], float]:
    """The samples that an earlier call had done, as one part, and the seconds that they took; none where the
    file is not of this attack."""
    if resume is None or not resume.exists():
        return [], 0.0
    try:
        part = AttackResult.load(resume)
    except BadFile as error:
        log.warning("%s; the attack starts again", error)
        return [], 0.0
    if part.metadata.get("tag") != tag:
        return [], 0.0
    done = AttackResult(**{name: tensor.to(device) for name, tensor in part.tensors().items()})
    return [done], part.metadata["seconds"]


def _glorot_noise(seed: int, index: Tensor, x: Tensor) -> Tensor:
    """The released code's first delta: TensorFlow's Glorot fan rule read on an N x H x W x C batch."""
    if x.ndim == 4:
        channels, height, width = x.shape[1:]
        fans = height * (width + channels)
    else:
        fans = 1 + x[0].numel()
    return seeding.uniform(seed, index, "delta", tuple(x.shape[1:]), math.sqrt(6 / fans), x.dtype)
