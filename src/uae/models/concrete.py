"""The concrete autoencoder (Balin, Abid and Zou 2019) of section 5.5: it selects features."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn

from uae.models.autoencoders import Autoencoder, glorot


def relaxed_one_hot(logits: Tensor, temperature: float | Tensor) -> Tensor:
    """One draw per row from the concrete distribution (Gumbel-softmax), with the shape of logits (K, d).

    At any temperature, the largest entry of a row is at j with probability softmax(logits)_j. As the
    temperature falls to 0, the rows become one-hot.
    """
    # -log(-log u) is a Gumbel number. u is below 1; it is 0 once in 2^24 draws.
    uniform = torch.rand_like(logits).clamp_min(torch.finfo(logits.dtype).tiny)
    return ((logits - (-uniform.log()).log()) / temperature).softmax(dim=1)


class Select(nn.Module):
    """The concrete select layer: (N, d) to (N, K).

    In training mode its K outputs are random convex combinations of the d inputs at `temperature`, which
    the training lowers. All samples of a batch share one draw, as in the published code. In eval mode the
    outputs are columns of the input.
    """

    def __init__(self, size: int, selected: int):
        super().__init__()
        self.logits = nn.Parameter(torch.empty(selected, size))
        self.temperature: float | Tensor = 10.0

    @property
    def features(self) -> Tensor:
        """The column that each output selects, int64 (K,). Several outputs may select the same column."""
        return self.logits.detach().argmax(dim=1)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            return x @ relaxed_one_hot(self.logits, self.temperature).T
        return x.index_select(1, self.features)


class Concrete(Autoencoder):
    """Concrete select layer, then 320-320 LeakyReLU 0.2 with dropout 0.1, then a linear output.

    The output layer is linear as in the published implementation, so reconstructions may leave [0, 1].

    shape: the shape of one sample; images are flattened.
    features: K, the number of features to select: 50, for Mice Protein 10 (section 5.5).
    Raises ValueError if the data have fewer features.
    """

    encoder: nn.Sequential

    def __init__(self, shape: tuple[int, ...], features: int = 50, width: int = 320):
        super().__init__()
        size = math.prod(shape)
        if not 1 <= features <= size:
            raise ValueError(f"cannot select {features} features of data that have {size}")
        self.encoder = nn.Sequential(nn.Flatten(), Select(size, features))
        self.decoder = nn.Sequential(
            nn.Linear(features, width),
            nn.LeakyReLU(0.2),
            nn.Dropout(0.1),
            nn.Linear(width, width),
            nn.LeakyReLU(0.2),
            nn.Dropout(0.1),
            nn.Linear(width, size),
            nn.Unflatten(1, shape),
        )
        self.initialise()

    def initialise(self) -> None:
        """New weights, in place: Glorot-normal logits, Glorot-uniform decoder."""
        nn.init.xavier_normal_(self.select.logits)
        glorot(self)

    @property
    def select(self) -> Select:
        return cast(Select, self.encoder[1])

    @property
    def features(self) -> Tensor:
        """The flat index of each selected feature, int64 (K,)."""
        return self.select.features

    @property
    def certainty(self) -> float:
        """The mean over the K outputs of the largest selection probability, in (0, 1]."""
        return self.select.logits.detach().softmax(dim=1).amax(dim=1).mean().item()
