"""The sizes of batches on a GPU, where memory decides."""

from __future__ import annotations

import contextlib
import weakref

import torch
from torch import Tensor, nn

from uae.attacks.problem import part_of
from uae.attacks.threads import Loss
from uae.memory import free as free  # None where memory does not limit a batch
from uae.sampling import uncompiled


def fitting(sample: int, memory: int) -> int:
    """The samples of `sample` bytes in a batch: as many as fit a third of the free memory, 8 GiB at most.

    A larger batch would not use a GPU better.

    >>> fitting(sample=2**20, memory=3 * 2**30)
    1024
    """
    return max(1, min(memory // 3, 2**33) // sample)


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


class _Kept:
    """A tensor that waits for a backward pass."""

    def __init__(self, tensor: Tensor):
        self.tensor = tensor.detach()


def _saved(loss: Loss, x: Tensor) -> int:
    """The bytes that the loss of samples x keeps for its gradient, once it is computed."""
    kept: weakref.WeakSet[_Kept] = weakref.WeakSet()  # a loss may compute gradients within, and free them

    def pack(tensor: Tensor) -> _Kept:
        kept.add(found := _Kept(tensor))
        return found

    model = getattr(loss, "model", None)
    eager = uncompiled(model) if isinstance(model, nn.Module) else contextlib.nullcontext()
    hooks = torch.autograd.graph.saved_tensors_hooks(pack, lambda found: found.tensor)
    with eager, torch.enable_grad(), hooks:
        value = part_of(loss, slice(0, len(x)))(x.clone().requires_grad_(), x.clone())
    storages = [found.tensor.untyped_storage() for found in kept]
    sizes = {storage.data_ptr(): storage.nbytes() for storage in storages}
    del value  # it keeps what is saved until here
    return sum(sizes.values())
