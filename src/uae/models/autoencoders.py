"""The dense and convolutional autoencoders of section 5.4: (N, *shape) in [0, 1] to (N, *shape) in (0, 1).

Weights start as Keras starts them: Glorot-uniform, biases at zero.
"""

from __future__ import annotations

import math

from torch import Tensor, nn

from uae.models.convolution import Conv2d, UpsampledConv2d


def glorot(model: nn.Module) -> None:
    """Keras' default initialisers, in place."""
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


class Autoencoder(nn.Module):
    """(N, *shape) to (N, *shape) by way of `encoder` and `decoder`."""

    encoder: nn.Module
    decoder: nn.Module

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.encoder(x))


class Dense(Autoencoder):
    """One dense layer each way, sigmoid both: 784-128-784 for MNIST, 3072-256-3072 for SVHN.

    The sparse autoencoder is the same network, trained with a penalty on the hidden units.
    """

    def __init__(self, shape: tuple[int, ...], latent: int = 128):
        super().__init__()
        size = math.prod(shape)
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(size, latent), nn.Sigmoid())
        self.decoder = nn.Sequential(nn.Linear(latent, size), nn.Sigmoid(), nn.Unflatten(1, shape))
        glorot(self)


class Convolutional(Autoencoder):
    """conv5x5-16, pool, conv5x5-8, pool | conv5x5-8, up, conv5x5-16, up, conv5x5-C sigmoid.

    Same padding; height and width must be multiples of 4. The first convolution gives K = 16 feature
    maps for per-sample MINE.
    """

    def __init__(self, shape: tuple[int, ...], widths: tuple[int, int] = (16, 8)):
        super().__init__()
        if len(shape) != 3:
            raise ValueError(f"the convolutional autoencoder needs images (C, H, W), got samples of {shape}")
        channels, height, width = shape
        if height % 4 or width % 4:
            raise ValueError(f"the convolutional autoencoder needs multiples of 4, got {height}x{width}")
        outer, inner = widths
        self.encoder = nn.Sequential(
            Conv2d(channels, outer, 5, padding="same"),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(outer, inner, 5, padding="same"),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        self.decoder = nn.Sequential(
            nn.Conv2d(inner, inner, 5, padding="same"),
            nn.ReLU(),
            nn.Identity(),  # the next layer upsamples; saved weights have the number of their layer
            UpsampledConv2d(inner, outer, 5),
            nn.ReLU(),
            nn.Identity(),
            UpsampledConv2d(outer, channels, 5),
            nn.Sigmoid(),
        )
        glorot(self)
