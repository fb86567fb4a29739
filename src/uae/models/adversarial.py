"""The adversarial autoencoder (Makhzani et al. 2016) of section 5.4."""

from __future__ import annotations

import math

from torch import nn

from uae.models.autoencoders import Autoencoder, glorot


def perceptron(size: int, width: int, out: int) -> list[nn.Module]:
    """size-width-width-out, ReLU between the layers."""
    return [
        nn.Linear(size, width),
        nn.ReLU(),
        nn.Linear(width, width),
        nn.ReLU(),
        nn.Linear(width, out),
    ]


class Adversarial(Autoencoder):
    """MLPs with two hidden layers: encoder, decoder, and a discriminator on the codes.

    As in the released code, the code is a sigmoid and the prior a standard Gaussian. So the codes, in (0, 1),
    can match the prior only within the unit cube. The output is a sigmoid.

    latent: the code's size: 2 for MNIST. The size for SVHN is not published; our scales choose 100.
    discriminator: maps (N, latent) codes to (N, 1) logits of "drawn from the prior". `forward` does not use
        it.
    """

    def __init__(self, shape: tuple[int, ...], latent: int = 2, width: int = 1000):
        super().__init__()
        size = math.prod(shape)
        self.encoder = nn.Sequential(nn.Flatten(), *perceptron(size, width, latent), nn.Sigmoid())
        self.decoder = nn.Sequential(*perceptron(latent, width, size), nn.Sigmoid(), nn.Unflatten(1, shape))
        self.discriminator = nn.Sequential(*perceptron(latent, width, 1))
        glorot(self)
