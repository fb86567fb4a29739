"""The sizes of batches on a GPU, where memory decides."""

from __future__ import annotations

import contextlib

from torch import Tensor, nn

from uae.attacks.problem import part_of
from uae.attacks.threads import Loss
from uae.memory import fitting as fitting
from uae.memory import free as free  # None where memory does not limit a batch
from uae.memory import saved
from uae.sampling import uncompiled


def small(images: Tensor) -> int:
    """The bytes of one sample's activations in a small model, with its iterate and gradients."""
    return 64 * images[0].numel() * images.itemsize


def of_sample(loss: Loss, images: Tensor) -> int:
    """The bytes that a batch takes for each sample: what the loss saves for its gradient, a small model's at
    least.

    It is that of two samples less that of one. The rest, such as weights, is saved once for any batch.
    """
    if len(images) == 1:
        return small(images)
    try:
        return max(small(images), _saved(loss, images[:2]) - _saved(loss, images[:1]))
    except (AssertionError, RuntimeError):  # PyTorch cannot say, or `probe` will name the fault
        return small(images)


def _saved(loss: Loss, x: Tensor) -> int:
    """The bytes that the loss of samples x keeps for its gradient, once it is computed."""
    model = getattr(loss, "model", None)
    eager = uncompiled(model) if isinstance(model, nn.Module) else contextlib.nullcontext()
    with eager:
        return saved(lambda: part_of(loss, slice(0, len(x)))(x.clone().requires_grad_(), x.clone()))
