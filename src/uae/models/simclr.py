"""SimCLR's network: an encoder whose features are used, and a projection head for the loss."""

from __future__ import annotations

from torch import Tensor, nn

from uae.models.resnet import ResNet18


class SimCLR(nn.Module):
    """(N, C, H, W) in [0, 1] to embeddings (N, dim), on which NT-Xent is computed.

    The encoder is ResNet-18 without a classifier. The head has three layers, 512-512-512-128 at full
    width, as in the authors' code. Batch normalisation follows each layer, so the layers have no bias.
    width: channels of the encoder's first stage (64 in ResNet-18).
    """

    def __init__(self, shape: tuple[int, ...], width: int = 64, dim: int = 128):
        super().__init__()
        self.encoder = ResNet18(shape, width)
        hidden = self.encoder.dim
        layers: list[nn.Module] = []
        for _ in range(2):
            layers += [nn.Linear(hidden, hidden, bias=False), nn.BatchNorm1d(hidden), nn.ReLU()]
        self.head = nn.Sequential(*layers, nn.Linear(hidden, dim, bias=False), nn.BatchNorm1d(dim))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(x))
