"""The layout in memory of an attacked network's images on a CPU."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from uae.attacks import checks, threads
from uae.attacks.problem import part_of
from uae.attacks.threads import Loss


def channels_last(loss: Loss, images: Tensor) -> Loss:
    """The loss with a copy of its network that keeps channels last.

    In that layout PyTorch's convolutions and poolings take less time on a CPU. The loss itself where its
    network has it already, may not be copied, or does not bear it: a `view` of a convolution's output fails.
    """
    if not threads.suitable(loss, images.device) or images.ndim != 4 or images.dtype != torch.float32:
        return loss
    weights = {id(weight): weight for weight in loss.model.parameters()}
    changed = {
        key: nn.Parameter(weight.detach().contiguous(memory_format=torch.channels_last), weight.requires_grad)
        for key, weight in weights.items()
        if weight.ndim == 4 and not weight.is_contiguous(memory_format=torch.channels_last)
    }
    if not changed:
        return loss
    try:
        own = copy.deepcopy(loss, weights | changed)
        one = images[:1].detach().clone().requires_grad_()
        with torch.enable_grad():
            checks.gradient(part_of(own, slice(0, 1))(one, one.detach()), one)
    except Exception:  # it may refuse in any way; what else is wrong with it shows without the copy, too
        return loss
    return own
