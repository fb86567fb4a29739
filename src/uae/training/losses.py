"""The training losses of autoencoders."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional as F

Loss = Callable[[Tensor, Tensor], Tensor]


def binary_cross_entropy(output: Tensor, target: Tensor) -> Tensor:
    """As in Keras. PyTorch's function refuses targets outside [0, 1], which occur with Gaussian noise."""
    output = output.clamp(1e-7, 1 - 1e-7)
    return -(target * output.log() + (1 - target) * (-output).log1p()).mean()


LOSSES: dict[str, Loss] = {"mse": F.mse_loss, "bce": binary_cross_entropy}


def bernoulli_kl(p: float, q: Tensor) -> Tensor:
    """KL(Bernoulli(p) || Bernoulli(q)) in nats, elementwise: p in (0, 1), q any shape in [0, 1]."""
    q = q.clamp(1e-7, 1 - 1e-7)  # because a sigmoid saturates
    return p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()


def sparsity_penalty(hidden: Tensor, output: Tensor, sparsity: float, weight: float, l1: float) -> Tensor:
    """The sparse autoencoder's penalty on a batch's hidden activations (N, H) and output (N, *shape).

    weight * mean over the H units of KL(sparsity || the unit's mean activation over the batch), plus
    l1 * the absolute activations of both layers, summed over a sample and averaged over the batch.
    As in the authors' code it is the mean over the units; a sum would weigh H times as much.
    """
    kl = bernoulli_kl(sparsity, hidden.mean(dim=0)).mean()
    activations = hidden.abs().sum(dim=1) + output.flatten(1).abs().sum(dim=1)
    return weight * kl + l1 * activations.mean()
