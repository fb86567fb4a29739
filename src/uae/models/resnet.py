"""ResNet-18 for 32 x 32 images (He et al. 2016, with the stem of SimCLR's CIFAR experiments)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from uae.models.convolution import Conv2d

BLOCKS, STRIDES = (2, 2, 2, 2), (1, 2, 2, 2)


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions and a shortcut, which is a 1 x 1 convolution if the shape changes."""

    def __init__(self, channels: int, width: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.shortcut = nn.Sequential()
        if stride != 1 or channels != width:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels, width, 1, stride, bias=False), nn.BatchNorm2d(width)
            )

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(out)) + self.shortcut(x))


class ResNet18(nn.Module):
    """(N, C, H, W) to features (N, 8 * width), or to logits (N, classes) if `classes` is given.

    The stem is one 3 x 3 convolution of stride 1 and no pooling (SimCLR, appendix B.9). Per-sample MINE sees
    its `width` feature maps.
    width: channels of the first stage, a multiple of 8: 64 in ResNet-18, fewer in a narrow one.
    """

    def __init__(self, shape: tuple[int, ...], width: int = 64, classes: int | None = None):
        super().__init__()
        if len(shape) != 3 or min(shape[1:]) < 8:
            raise ValueError(f"ResNet-18 needs images (C, H, W) of at least 8 x 8, got shape {tuple(shape)}")
        # PyTorch 2.14's 1 x 1 convolution of stride 2, channels last on a CPU, writes beyond its memory
        # for fewer than 8 channels.
        if width < 8 or width % 8:
            raise ValueError(f"ResNet-18's width must be a multiple of 8, got {width}")
        self.conv1 = Conv2d(shape[0], width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        stages, channels = [], width
        for stage, (blocks, stride) in enumerate(zip(BLOCKS, STRIDES, strict=True)):
            for block in range(blocks):
                stages.append(BasicBlock(channels, width << stage, stride if block == 0 else 1))
                channels = width << stage
        self.blocks = nn.Sequential(*stages)
        self.dim = channels
        self.classifier = nn.Identity() if classes is None else nn.Linear(channels, classes)
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, BasicBlock):
                nn.init.zeros_(module.bn2.weight)  # each block starts as its shortcut (Goyal et al. 2017)

    def features(self, x: Tensor) -> Tensor:
        """The pooled output of the last block, (N, 8 * width)."""
        return self.blocks(F.relu(self.bn1(self.conv1(x)))).mean((2, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x))
