"""What a reconstruction is trained to make small."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional as F

Loss = Callable[[Tensor, Tensor], Tensor]


def binary_cross_entropy(output: Tensor, target: Tensor) -> Tensor:
    """As Keras has it: PyTorch's own refuses targets outside [0, 1], which Gaussian noise makes."""
    output = output.clamp(1e-7, 1 - 1e-7)
    return -(target * output.log() + (1 - target) * (-output).log1p()).mean()


LOSSES: dict[str, Loss] = {"mse": F.mse_loss, "bce": binary_cross_entropy}


def bernoulli_kl(p: float, q: Tensor) -> Tensor:
    """KL(Bernoulli(p) || Bernoulli(q)) in nats, elementwise: p in (0, 1), q any shape in [0, 1]."""
    q = q.clamp(1e-7, 1 - 1e-7)  # a sigmoid saturates
    return p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()


def sparsity_penalty(hidden: Tensor, sparsity: float, weight: float, l1: float) -> Tensor:
    """The sparse autoencoder's penalty on the hidden activations (N, H) of a batch.

    weight * sum over units of KL(sparsity || mean activation over the batch), and l1 times the
    absolute activations, summed over units and averaged over the batch.
    """
    kl = bernoulli_kl(sparsity, hidden.mean(dim=0)).sum()
    return weight * kl + l1 * hidden.abs().sum(dim=1).mean()
