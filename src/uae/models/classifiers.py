"""The classifiers of sections 3.1 and 5.2, after Carlini and Wagner: (N, *shape) in [0, 1] to logits."""

from __future__ import annotations

from torch import Tensor, nn

from uae.models.autoencoders import glorot
from uae.models.convolution import Conv2d


class CarliniWagner(nn.Module):
    """(conv3x3, ReLU) x 2, pool | (conv3x3, ReLU) x 2, pool | dense, ReLU, dropout | dense, ReLU | logits.

    widths: filters of the first and second pair of convolutions, and units of both dense layers:
        32, 64, 200 for MNIST, 64, 128, 256 for CIFAR-10. No padding.
    The first convolution gives K = widths[0] feature maps for per-sample MINE.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        widths: tuple[int, int, int] = (32, 64, 200),
        classes: int = 10,
        dropout: float = 0.5,
    ):
        super().__init__()
        if len(shape) != 3:
            raise ValueError(f"this classifier needs images (C, H, W), got samples of {shape}")
        channels, *size = shape
        outer, inner, units = widths
        height, width = (((side - 4) // 2 - 4) // 2 for side in size)
        if height < 1 or width < 1:
            raise ValueError(f"this classifier needs at least 16x16 pixels, got {size[0]}x{size[1]}")
        self.features = nn.Sequential(
            Conv2d(channels, outer, 3),
            nn.ReLU(),
            nn.Conv2d(outer, outer, 3),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(outer, inner, 3),
            nn.ReLU(),
            nn.Conv2d(inner, inner, 3),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
        )
        self.hidden = nn.Sequential(
            nn.Linear(inner * height * width, units),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(units, units),
            nn.ReLU(),
        )
        self.head = nn.Linear(units, classes)
        glorot(self)

    def penultimate(self, x: Tensor) -> Tensor:
        """The penultimate layer, (N, units), from which the logits are computed."""
        return self.hidden(self.features(x))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.penultimate(x))
