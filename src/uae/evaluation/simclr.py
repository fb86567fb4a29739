"""The measurements of Table 7 on a SimCLR model."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from uae.contrastive import nt_xent
from uae.views import Augmentation


@torch.no_grad()
def loss(
    model: nn.Module, x: Tensor, *, batch_size: int = 512, temperature: float = 0.5, seed: int = 0
) -> float:
    """Mean NT-Xent over the full batches of x (N, 3, H, W), two views per image, model in eval mode.

    The views depend on (seed, index) alone and are the same for every model. NT-Xent grows with the batch
    size, so compare at equal sizes only. Raises ValueError for fewer images than a batch.
    """
    if len(x) < batch_size:
        raise ValueError(f"{len(x)} images are fewer than a batch of {batch_size}: reduce batch_size")
    augmentation, values = Augmentation(), []
    for rows in torch.arange(len(x), device=x.device).split(batch_size)[: len(x) // batch_size]:
        views = augmentation.draw(seed, rows, "test", x.shape[2:], 2)
        z = model(augmentation(x[rows].repeat_interleave(2, dim=0), views))
        values.append(nt_xent(z.unflatten(0, (len(rows), 2)).transpose(0, 1), temperature))
    return torch.stack(values).double().mean().item()


@torch.no_grad()
def linear(head: nn.Linear, x: Tensor, y: Tensor) -> tuple[float, float]:
    """Accuracy in [0, 1] and mean cross-entropy of a linear head on features x (N, d), labels y (N,)."""
    logits = head(x).double()
    return (logits.argmax(1) == y).double().mean().item(), F.cross_entropy(logits, y).item()
