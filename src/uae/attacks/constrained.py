"""The loop over chunks of samples, which all attacks with a criterion share."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import math
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from uae import storage
from uae.attacks import batches, checks, probe, threads
from uae.attacks.problem import Incumbents, Problem, part_of
from uae.attacks.restore import left_as_found
from uae.attacks.result import AttackResult
from uae.attacks.settings import Settings
from uae.attacks.threads import Loss
from uae.errors import BadFile
from uae.sampling import CPU_SAMPLES, ConvolutionOutput, Features, RandomSampling, default_for

log = logging.getLogger(__name__)

# Progress is saved after this long, and rarely enough that saving takes at most this share of the time
SECONDS_BETWEEN_SAVES = 10.0
SAVING_SHARE = 0.05
# The most pixels times steps in a batch on a CPU: 64 MNIST images for Table 3's 9,000 steps. That is minutes
# of work. An interruption loses the current batches.
PIXEL_STEPS = 64 * 784 * 9000


@dataclass(frozen=True)
class ConstrainedAttack(Settings):
    """An attack with a criterion. `Settings` describes the settings and `__call__` the call."""

    def __call__(
        self,
        loss: Loss,
        images: Tensor,
        *,
        seed: int = 0,
        index: Tensor | None = None,
        progress: Callable[[int, int], None] | None = None,
        trace: bool = False,
        resume: str | Path | None = None,
        tag: str = "",
    ) -> AttackResult:
        """Attack `images` (N, *shape), floats within `bounds`.

        loss: (x_adv, x) -> (N,); see `uae.losses`.
        seed, index: integers. A sample's random numbers depend only on `seed` and its `index` (0..N-1 unless
            given), not on its batch.
        progress: called with (samples done, samples in all); in a long attack also within a chunk, and
            from that chunk's thread.
        trace: also record the course of the attack in the result's `trace` and `stationarity`.
        resume: a file that holds the finished chunks, in float32, while the attack runs. If it exists when
            the attack starts, the attack resumes from it. The caller deletes it at the end. Another file is
            refused, unless its name ends in `.partial`.
        tag: identifies the model and everything else that the loss holds. The attack ignores a file that is
            truncated, or whose tag, images, indices, seed or settings differ, and warns.
        Raises ValueError naming the sample for values that are not finite or out of bounds, a loss
        of the wrong shape or not finite, a model in training mode, or K < 2 compressed samples; for a
        loss or features that depend on other samples or change their input (`uae.attacks.probe`); and for
        `uae.losses.CrossEntropy`, which is no criterion.
        The images, and the networks that the loss holds, are left as they were found.
        """
        if resume is not None and not tag:
            raise ValueError(f"resume={resume} needs a tag; without one it could resume another attack")
        with left_as_found(loss):
            with probe.explained(loss, images):
                index = checks.check_call(loss, images, seed, index, self.bounds)
                checks.check_criterion(loss)
                images = images.detach()
                features = self._features(loss, images, seed)
                at_once, size = self._batches(loss, images, features)
                probe.probe_loss(
                    part_of(loss, slice(0, size)), images[:size], index, of_rows=features is not None
                )
                if features is not None:
                    probe.probe_features(features, images[:size], index)
            contexts = [(loss, features)]
            if at_once > 1:
                contexts = [(own, self._features(own, images, seed)) for own in threads.copies(loss, at_once)]
            call = (
                {}
                if resume is None
                else {"tag": tag, "call": self._digest(images, index, seed, trace, features)}
            )
            left = None if resume is None else _left(Path(resume), call, loss, images, size)
            parts = self._run(contexts, images, seed, index, size, progress, trace, resume, call, left)
        result = AttackResult.concatenate(parts, {"attack": self._settings(), "seed": seed})
        checks.report_zero_gradients(log, result)
        return result

    def _run(
        self,
        contexts: list[tuple[Loss, Features | None]],
        images: Tensor,
        seed: int,
        index: Tensor,
        size: int,
        progress: Callable[[int, int], None] | None,
        trace: bool,
        resume: str | Path | None,
        call: dict[str, str],
        left: AttackResult | None,
    ) -> list[AttackResult]:
        """The result in parts: first `left`, then chunks of `size` samples."""
        parts = [] if left is None else [left]
        before = sum(map(len, parts))
        chunks = [slice(at, min(at + size, len(images))) for at in range(before, len(images), size)]
        done = threads.Done(progress, len(images), before)

        def work(context: tuple[Loss, Features | None], rows: slice, stop: threading.Event) -> AttackResult:
            own, features = context
            x = images[rows].clone()  # the model may change it; the caller's images stay as they are
            problem = Problem(self, part_of(own, rows), x, seed, index[rows], features, stop)
            steps = self.total_steps + 1
            kept = Incumbents(
                problem, trace, lambda step: done(rows, (rows.stop - rows.start) * step // steps)
            )
            self._search(problem, kept)
            checks.check_untouched(x, images[rows])
            return kept.result()

        start = time.monotonic() - (0.0 if left is None else left.metadata["seconds"])
        due = time.monotonic() + SECONDS_BETWEEN_SAVES
        with closing(threads.in_order(work, chunks, contexts)) as results:
            for rows, part in zip(chunks, results, strict=True):
                parts.append(part)
                done(rows, rows.stop - rows.start)
                if resume is not None and rows.stop < len(images) and (now := time.monotonic()) > due:
                    AttackResult.concatenate(parts, call | {"seconds": now - start}).save(resume)
                    taken = time.monotonic() - now
                    due = now + taken + max(SECONDS_BETWEEN_SAVES, taken / SAVING_SHARE)
        return parts

    def _search(self, problem: Problem, kept: Incumbents) -> None:
        raise NotImplementedError

    def _digest(
        self, images: Tensor, index: Tensor, seed: int, trace: bool, features: Features | None
    ) -> str:
        """SHA-256 of everything except the loss that determines the result."""
        settings = self._settings() | {"batch_size": None}
        content = hashlib.sha256(f"{type(self).__name__} {settings} {seed} {trace}".encode())
        tensors = [images, index]
        if features is not None and self._users_sampler() is not None:  # the settings have its name alone
            ramp = torch.linspace(0, 1, images[0].numel()).to(images).view_as(images[:1])  # images have edges
            with torch.no_grad():
                tensors.append(features.compute((images[:1] + ramp) / 2, 0))
        for tensor in tensors:
            content.update(f"{tensor.dtype} {tuple(tensor.shape)} {tensor.device.type}".encode())
            content.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().data)
        return content.hexdigest()

    def _users_sampler(self) -> object:
        samples = None if self.mi is None else self.mi.samples
        return None if isinstance(samples, ConvolutionOutput | RandomSampling) else samples

    def _settings(self) -> dict[str, Any]:
        """The settings for the metadata; a user-defined sampler is represented by its name."""
        samples = self._users_sampler()
        if self.mi is None or samples is None:
            return dataclasses.asdict(self)
        settings = dataclasses.asdict(
            dataclasses.replace(self, mi=dataclasses.replace(self.mi, samples=None))
        )
        settings["mi"]["samples"] = getattr(samples, "__qualname__", type(samples).__qualname__)
        return settings

    def _features(self, loss: Loss, images: Tensor, seed: int) -> Features | None:
        if self.mi is None:
            return None
        model = getattr(loss, "model", None)
        samples = self.mi.samples or default_for(model)
        if not hasattr(samples, "bind"):
            return Features(lambda x, step: samples(x))
        return samples.bind(model, images, seed)

    def _batches(self, loss: Loss, images: Tensor, features: Features | None) -> tuple[int, int]:
        """The number of parallel batches, and of samples in each.

        A batch has as many samples as fit the memory budget: 512 MiB, 1 GiB for random sampling, or that of a
        GPU (`uae.attacks.batches`), on which the samples' bytes are those of the loss.
        On the CPU the features limit the size. A convolution's must fit the cache. Random sampling reads or
        draws its matrices once for each batch. In a long attack batches are smaller, because an interruption
        loses whole batches. The batches of several threads have the same size.
        """
        budget, most = 2**29, CPU_SAMPLES if features is None else features.cpu_samples
        if most > CPU_SAMPLES:
            budget = 2**30
        if features is None or features.threaded:
            most = min(most, max(threads.FEWEST, PIXEL_STEPS // (self.total_steps * images[0].numel())))
        memory = batches.free(images.device)
        need = batches.small(images)
        if memory is not None and self.batch_size is None:
            need = batches.of_sample(loss, images)
        if features is not None and self.mi is not None:
            first = images[:1].clone()
            with torch.no_grad():
                found = features.compute(first, 0)
            checks.check_features(found, first, features.what)
            _, count, dim = found.shape
            itemsize = max(4, images.itemsize)  # of the critics
            need += self.mi.state_bytes(dim, features.map_shape, itemsize)
            need += (6 * count * dim + 8 * count * (self.mi.inner_steps + 1)) * itemsize
        if memory is not None:
            return 1, self.batch_size or min(len(images), batches.fitting(need, memory))
        at_once = 1
        if (features is None or features.threaded) and threads.suitable(loss, images.device):
            at_once = max(1, min(torch.get_num_threads(), len(images) // threads.FEWEST, budget // need))
        size = self.batch_size or max(1, min(len(images), most, budget // at_once // need))
        if at_once > 1 and self.batch_size is None:
            rounds = math.ceil(len(images) / (size * at_once))
            size = math.ceil(len(images) / (rounds * at_once))
        return at_once, size


def _left(resume: Path, call: dict[str, str], loss: Loss, images: Tensor, size: int) -> AttackResult | None:
    """The samples that an earlier call finished, as one part. None if the file belongs to another attack."""
    if not resume.exists():
        return None
    try:
        part = AttackResult.load(resume)
    except BadFile as error:
        storage.check_progress(resume, {})
        log.warning("%s; the attack restarts", error)
        return None
    storage.check_progress(resume, part.metadata)
    if any(part.metadata.get(key) != value for key, value in call.items()):
        log.warning(
            "%s: has %d samples of an attack with other settings, samples, seed or tag; this attack restarts "
            "and replaces them",
            resume,
            len(part),
        )
        return None
    tensors = {name: tensor.to(images.device) for name, tensor in part.tensors().items()}
    # The tag may not cover all state of the model. This check takes one pass; an attack takes hundreds.
    for start in range(0, len(part), size):
        rows = slice(start, min(start + size, len(part)))
        x = images[rows].clone()
        with torch.no_grad():
            clean = part_of(loss, rows)(x, x)
        if not probe.agree(clean, tensors["loss_clean"][rows], x):
            log.warning("%s: the model gave another loss when it was made; the attack restarts", resume)
            return None
    return AttackResult(**tensors, metadata=part.metadata)
