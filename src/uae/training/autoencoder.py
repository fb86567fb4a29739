"""Fit a dense, sparse or convolutional autoencoder: one optimiser, one loss."""

from __future__ import annotations

from typing import Unpack

from torch import Tensor

from uae.models.autoencoders import Autoencoder
from uae.training import loop
from uae.training.graphs import Graphed
from uae.training.losses import LOSSES, sparsity_penalty
from uae.training.optimizers import OPTIMIZERS


def fit(
    model: Autoencoder,
    x: Tensor,
    *,
    target: Tensor | None = None,
    loss: str,
    optimizer: str,
    lr: float,
    sparsity: float = 0.1,
    sparsity_weight: float = 0.0,
    l1: float = 0.0,
    **options: Unpack[loop.Options],
) -> list[float]:
    """Train `model` in place on x (N, *shape). Returns the mean loss of each epoch, penalty included.

    sparsity, sparsity_weight, l1: the sparse autoencoder's penalty (see `sparsity_penalty`), weight 3
        for MNIST, 1 for SVHN; none by default.
    Raises Diverged, naming epoch and step, when the loss is not finite.
    """
    criterion = LOSSES[loss]
    stepper = OPTIMIZERS[optimizer](model.parameters(), lr)

    @Graphed
    def update(batch: Tensor, goal: Tensor) -> Tensor:
        hidden = model.encoder(batch)
        output = model.decoder(hidden)
        value = criterion(output, goal)
        if sparsity_weight or l1:
            value = value + sparsity_penalty(hidden, output, sparsity, sparsity_weight, l1)
        stepper.zero_grad(set_to_none=True)
        value.backward()
        stepper.step()
        return value.detach()

    def step(batch: Tensor, goal: Tensor, number: int) -> Tensor:
        return update(batch, goal)

    return loop.run(model, [stepper], step, x, target, **options)
