"""Wide ResNets for 32 x 32 images (Zagoruyko and Komodakis 2016): WRN-34-10 is TRADES' CIFAR-10 model."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from uae.models.convolution import Conv2d


class Block(nn.Module):
    """Norm, ReLU, convolution, twice. If the shape changes, the shortcut starts after the first ReLU."""

    def __init__(self, channels: int, width: int, stride: int):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.shortcut = None
        if stride != 1 or channels != width:
            self.shortcut = nn.Conv2d(channels, width, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        activated = F.relu(self.bn1(x))
        out = self.conv2(F.relu(self.bn2(self.conv1(activated))))
        return out + (x if self.shortcut is None else self.shortcut(activated))


class WideResNet(nn.Module):
    """(N, C, H, W) in [0, 1] to logits (N, classes).

    depth: 6 n + 4 layers in three groups of n blocks.  widen: each group has `widen` times 16, 32 and 64
    channels.
    Raises ValueError for samples that are no images, and for a depth that is not 6 n + 4 with n >= 1.
    """

    def __init__(self, shape: tuple[int, ...], depth: int = 34, widen: int = 10, classes: int = 10):
        super().__init__()
        if len(shape) != 3:
            raise ValueError(f"a wide ResNet needs images (C, H, W), got samples of {shape}")
        if depth < 10 or (depth - 4) % 6:
            raise ValueError(f"a wide ResNet has 6 n + 4 layers, such as 10, 28 or 34; got depth {depth}")
        count = (depth - 4) // 6
        self.conv1 = Conv2d(shape[0], 16, 3, padding=1, bias=False)
        channels, groups = 16, []
        for width, stride in ((16 * widen, 1), (32 * widen, 2), (64 * widen, 2)):
            blocks = [Block(width if i else channels, width, 1 if i else stride) for i in range(count)]
            groups.append(nn.Sequential(*blocks))
            channels = width
        self.groups = nn.Sequential(*groups)
        self.bn = nn.BatchNorm2d(channels)
        self.classifier = nn.Linear(channels, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(self.classifier.bias)

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn(self.groups(self.conv1(x))))
        return self.classifier(out.mean((2, 3)))
