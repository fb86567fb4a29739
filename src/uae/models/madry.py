"""The MNIST network of Madry et al. (2018), on which their published accuracies were measured."""

from __future__ import annotations

from torch import Tensor, nn

from uae.models.convolution import Conv2d


class MadryCNN(nn.Module):
    """conv5x5-32, pool, conv5x5-64, pool, dense 1024, logits: (N, C, H, W) in [0, 1] to (N, classes).

    kernel, hidden: sizes of the convolutions and of the dense layer, the authors' unless given.
    Same padding; height and width must be multiples of 4. Weights start as in the authors' MNIST
    challenge: normal with standard deviation 0.1, truncated at two standard deviations; biases at 0.1.
    """

    def __init__(self, shape: tuple[int, ...], classes: int = 10, kernel: int = 5, hidden: int = 1024):
        super().__init__()
        if len(shape) != 3:
            raise ValueError(f"Madry's network needs images (C, H, W), got samples of {shape}")
        channels, height, width = shape
        if height % 4 or width % 4:
            raise ValueError(f"Madry's network needs multiples of 4, got {height}x{width}")
        self.features = nn.Sequential(
            Conv2d(channels, 32, kernel, padding="same"),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 64, kernel, padding="same"),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        self.classifier = nn.Sequential(
            nn.Flatten(), nn.Linear(height * width * 4, hidden), nn.ReLU(), nn.Linear(hidden, classes)
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.1, a=-0.2, b=0.2)
                if module.bias is not None:
                    nn.init.constant_(module.bias, 0.1)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x))
