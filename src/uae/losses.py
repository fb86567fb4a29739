"""What an attack must keep small.

A loss is any callable (x_adv, x) -> (N,). The attack criterion is f = loss - threshold + kappa, and
an attack succeeds where f <= 0. The threshold is the loss of the clean sample, loss(x, x), unless
the loss says `relative = False`: then it is 0.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Reconstruction:
    """||x - model(x_adv)||_2 of an autoencoder (the unsupervised criterion of section 4).

    model: maps (N, *shape) to (N, *shape); normalisation belongs inside it.
    squared: the squared norm, as in the released code: the same successes at kappa = 0, other
        gradients.
    """

    relative = True

    def __init__(self, model: nn.Module, squared: bool = False):
        self.model = model
        self.squared = squared

    def __call__(self, x_adv: Tensor, x: Tensor) -> Tensor:
        output = self.model(x_adv)
        if output.shape != x.shape:
            raise ValueError(
                f"the model reconstructs {tuple(x.shape)} as {tuple(output.shape)}: an autoencoder "
                "keeps the shape of its input"
            )
        norm = torch.linalg.vector_norm((x - output).flatten(1), dim=1)
        return norm.square() if self.squared else norm
