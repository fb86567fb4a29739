"""Fit an adversarial autoencoder (Makhzani et al. 2016): three updates a batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Unpack

import torch
from torch import Tensor
from torch.nn import functional as F

from uae.models.adversarial import Adversarial
from uae.training import loop
from uae.training.graphs import Graphed
from uae.training.losses import LOSSES
from uae.training.optimizers import OPTIMIZERS

# Drawn from PyTorch's default generator, which the loop seeds for every epoch.
PRIORS: dict[str, Callable[[Tensor], Tensor]] = {"normal": torch.randn_like, "uniform": torch.rand_like}


def fit(
    model: Adversarial,
    x: Tensor,
    *,
    target: Tensor | None = None,
    loss: str = "mse",
    optimizer: str = "adam",
    lr: float = 1e-4,
    prior: str = "normal",
    **options: Unpack[loop.Options],
) -> list[float]:
    """Train `model` in place on x (N, *shape); the mean reconstruction loss of each epoch.

    For each batch: encoder and decoder reconstruct, the discriminator tells codes from draws of the
    prior, the encoder makes it take its codes for draws. Each has its own optimiser, as the encoder's
    two updates differ in scale.
    prior: `normal`, N(0, I), as released, or `uniform` on the unit cube, which the codes can match.
    Raises Diverged, naming epoch and step, when the loss is not finite.
    """
    criterion, draw = LOSSES[loss], PRIORS[prior]
    encoder = list(model.encoder.parameters())
    reconstruction = OPTIMIZERS[optimizer]([*encoder, *model.decoder.parameters()], lr)
    discriminator = OPTIMIZERS[optimizer](model.discriminator.parameters(), lr)
    generator = OPTIMIZERS[optimizer](encoder, lr)

    @Graphed
    def update(batch: Tensor, goal: Tensor) -> Tensor:
        value = criterion(model(batch), goal)
        reconstruction.zero_grad(set_to_none=True)
        value.backward()
        reconstruction.step()

        code = model.encoder(batch)
        fake = code.detach()
        # -log D(prior) - log(1 - D(code)), and -log D(code) for the encoder, on logits
        real_loss = F.softplus(-model.discriminator(draw(fake))).mean()
        fake_loss = F.softplus(model.discriminator(fake)).mean()
        discriminator.zero_grad(set_to_none=True)
        (real_loss + fake_loss).backward()
        discriminator.step()

        generator.zero_grad(set_to_none=True)
        F.softplus(-model.discriminator(code)).mean().backward(inputs=encoder)
        generator.step()
        return value.detach()

    def step(batch: Tensor, goal: Tensor, number: int) -> Tensor:
        return update(batch, goal)

    return loop.run(model, [reconstruction, discriminator, generator], step, x, target, **options)
