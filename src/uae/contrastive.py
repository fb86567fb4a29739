"""NT-Xent, the loss of SimCLR, and the criterion of UAEs for a SimCLR model."""

from __future__ import annotations

import contextlib
import copy
from typing import Any

import torch
from torch import Tensor, nn

from uae import memory, seeding
from uae.views import Augmentation

CPU_VIEWS = 500  # at a time


def nt_xent(z: Tensor, temperature: float = 0.5) -> Tensor:
    """Normalised, temperature-scaled cross-entropy of embeddings z (..., V, B, D); the shape is (...).

    Each of the V views of each of the B samples has the other views of its sample as positives and all
    the views of the other samples as negatives (equation 1 of SimCLR for V = 2). Leading dimensions are
    batches that don't see each other. An embedding of length 0 gives NaN.
    Raises ValueError for fewer than two views or two samples.
    """
    if z.ndim < 3 or z.shape[-3] < 2 or z.shape[-2] < 2:
        raise ValueError(
            f"NT-Xent needs embeddings (..., views, samples, features) of at least 2 views and 2 samples: "
            f"without a second sample there are no negatives; got shape {tuple(z.shape)}"
        )
    views, samples = z.shape[-3:-1]
    unit = z / torch.linalg.vector_norm(z, dim=-1, keepdim=True)
    others = unit.sum(-3, keepdim=True) - unit
    positive = (unit * others).sum(-1).flatten(-2) / (views - 1)
    flat = unit.flatten(-3, -2)
    itself = torch.eye(views * samples, dtype=torch.bool, device=z.device)
    scores = (flat @ flat.mT / temperature).masked_fill(itself, -torch.inf)
    return (scores.logsumexp(-1) - positive / temperature).mean(-1)


class Contrastive:
    """The contrastive loss of one sample (section 5.6): NT-Xent over copies of it, each seen twice.

    `copies` times `views` random views of a sample are drawn once, from (seed, the sample's index). They
    are used before and after the attack, so that the two losses compare. The negatives are the views of the
    other copies: a sample's loss depends on no other sample.

    model: maps images (N, 3, H, W) in [0, 1] to embeddings (N, D); in eval mode.
    index: the samples' indices in their data set, 0, 1, ... unless given; see `subset`.
    amp: compute in bfloat16 on GPUs that have it: faster, but losses then agree to two digits only.
    The gradient goes to the samples, not to the model's weights, and is computed chunk by chunk along
    with the loss: the memory needed does not grow with N.
    """

    relative = True

    def __init__(
        self,
        model: nn.Module,
        copies: int = 50,
        views: int = 2,
        temperature: float = 0.5,
        seed: int = 0,
        index: Tensor | None = None,
        augmentation: Augmentation | None = None,
        amp: bool = False,
    ):
        if copies < 2 or views < 2:
            raise ValueError(f"NT-Xent needs at least 2 copies and 2 views, got {copies} and {views}")
        self.model, self.copies, self.views, self.temperature = model, copies, views, temperature
        seeding.check_seed(seed)
        self.seed, self.index = seed, None if index is None else seeding.integers(index)
        self.amp = amp
        self.augmentation = augmentation or Augmentation()
        self._start = 0
        self._at_once: int | None = None

    def subset(self, rows: slice | Tensor) -> Contrastive:
        """The loss for some rows of the batch, with the views of their indices."""
        part = copy.copy(self)
        if self.index is not None:
            part.index = self.index[rows]
        elif isinstance(rows, slice):
            part._start = self._start + (rows.start or 0)
        else:
            part.index = self._start + rows
        return part

    def __call__(self, x_adv: Tensor, x: Tensor) -> Tensor:
        index = self.index
        if index is None:
            index = torch.arange(self._start, self._start + len(x_adv))
        if len(index) != len(x_adv):
            raise ValueError(
                f"{len(x_adv)} samples, but indices of {len(index)}: call `subset(rows)` for part of a batch"
            )
        index = index.to(x_adv.device, non_blocking=True)
        loss = _PerSample.apply(x_adv, index, self)
        # At the clean samples only: a check in every step of an attack would force a synchronisation.
        if not x_adv.requires_grad and (bad := loss.isnan()).any():
            raise ValueError(
                f"sample {int(index[bad][0])}: the embedding of a view has length 0 or is not a number; "
                "is the image constant?"
            )
        return loss

    def _loss(self, x: Tensor, index: Tensor) -> Tensor:
        count = self.copies * self.views
        views = self.augmentation.draw(self.seed, index, "contrastive", x.shape[-2:], count)
        images = self.augmentation(x.repeat_interleave(count, dim=0), views)
        with autocast(x.device, self.amp):
            z = self.model(images)
        if not isinstance(z, Tensor) or z.ndim != 2 or len(z) != len(images):
            got = tuple(z.shape) if isinstance(z, Tensor) else f"a {type(z).__name__}"
            raise ValueError(
                f"the model gives {got} for {len(images)} views: need their embeddings alone, (N, D)"
            )
        z = z.to(x.dtype).unflatten(0, (len(x), self.copies, self.views))
        return nt_xent(z.transpose(1, 2), self.temperature)

    def at_once(self, x: Tensor, index: Tensor) -> int:
        """The samples whose views the model sees at a time. On a GPU memory decides, at the first batch."""

        def saved(count: int) -> int:
            return memory.saved(lambda: self._loss(x[:count].requires_grad_(), index[:count]))

        if len(x) == 1:
            return 1
        if self._at_once is None:
            self._at_once = max(1, CPU_VIEWS // (self.copies * self.views))
            if (free := memory.free(x.device)) is not None:
                with contextlib.suppress(AssertionError, RuntimeError):  # PyTorch cannot say
                    # The weights are saved once for any number of samples.
                    self._at_once = memory.fitting(max(1, saved(2) - saved(1)), free)
        return self._at_once


def autocast(device: torch.device, enabled: bool = True) -> torch.autocast:
    """Autocast to bfloat16 if it is enabled and the device is a GPU with native bfloat16."""
    native = device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled and native)


class _PerSample(torch.autograd.Function):
    """Loss and gradient together, a few samples at a time. No sample's loss depends on another."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, index: Tensor, loss: Contrastive) -> Tensor:
        size = loss.at_once(x.detach(), index)
        values, gradients = [], []
        for part, rows in zip(x.detach().split(size), index.split(size), strict=True):
            with torch.set_grad_enabled(ctx.needs_input_grad[0]):
                part = part.requires_grad_(ctx.needs_input_grad[0])
                value = loss._loss(part, rows)
                if ctx.needs_input_grad[0]:
                    gradients.append(torch.autograd.grad(value.sum(), part)[0])
            values.append(value.detach())
        if gradients:
            ctx.save_for_backward(torch.cat(gradients))
        return torch.cat(values)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * grad.view(-1, *(1,) * (gradient.ndim - 1)), None, None
