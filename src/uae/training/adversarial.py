"""Fit an adversarial autoencoder (Makhzani et al. 2016): four updates a batch, two of the discriminator."""

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


def shuffled(samples: Tensor) -> Tensor:
    """A random order of the rows, int64 (N,). It sorts, because a CUDA graph cannot hold `randperm`."""
    return torch.rand_like(samples).argsort()


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
    """Train `model` in place on x (N, *shape). Returns the mean reconstruction loss of each epoch.

    Each batch of N has three parts. Encoder and decoder learn to reconstruct. The discriminator learns to
    distinguish N draws of the prior from the N codes. The encoder learns to deceive it. As in the authors'
    code, the 2N samples of the discriminator are shuffled and split into two batches of N, for two updates.
    Each part has a separate optimiser, because the encoder's two updates differ in scale.
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
        # -log D(prior) and -log(1 - D(code)), and -log D(code) for the encoder, on logits
        samples, sign = torch.cat([draw(fake), fake]), torch.ones_like(fake[:, 0])
        signs = torch.cat([-sign, sign])
        order = shuffled(signs)
        for rows in order.chunk(2):
            logits = model.discriminator(samples[rows]).squeeze(1)
            discriminator.zero_grad(set_to_none=True)
            F.softplus(signs[rows] * logits).mean().backward()
            discriminator.step()

        generator.zero_grad(set_to_none=True)
        F.softplus(-model.discriminator(code)).mean().backward(inputs=encoder)
        generator.step()
        return value.detach()

    def step(batch: Tensor, goal: Tensor, number: int) -> Tensor:
        return update(batch, goal)

    return loop.run(model, [reconstruction, discriminator, generator], step, x, target, **options)
