"""SimCLR's augmentations for CIFAR-10, a batch at a time on the images' own device.

Each image has its own crop, flip and colours, drawn from (seed, sample's index, purpose) alone, so that
the views of a sample are the same in any batch and in a resumed run. Everything is differentiable, with
gradients that don't depend on the order of additions. Torchvision's conventions throughout: `v2` gives
the same pixels for the same crop and factors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from uae import seeding

ATTEMPTS = 10  # as in torchvision: after this number of crops that don't fit, the whole image
GREY = (0.2989, 0.587, 0.114)
BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)
NUMBERS = 2 * ATTEMPTS + 13  # random numbers per view


@dataclass(frozen=True)
class Views:
    """The random choices of N views.

    crop: (N, 4) float, top, left, height and width in whole pixels.  flip, jitter, grey: (N,) bool.
    factors: (N, 4) of brightness, contrast, saturation (1 is no change) and hue (a share of the circle).
    order: (N, 4) int64, the four operations in the order in which they are applied.
    """

    crop: Tensor
    flip: Tensor
    jitter: Tensor
    grey: Tensor
    factors: Tensor
    order: Tensor


@dataclass(frozen=True)
class Augmentation:
    """Random resized crop, horizontal flip, colour jitter, greyscale; no blur (SimCLR, appendix B.9).

    scale, ratio: ranges of crop area / image area and of crop width / crop height.
    strength: s of SimCLR's appendix A: factors of brightness, contrast and saturation within
        1 +- 0.8 s, hue within +- 0.2 s.
    flip, jitter, grey: probabilities.

    >>> views = Augmentation().draw(0, torch.arange(2), "view", (32, 32), count=50)
    >>> len(views.flip)
    100
    """

    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    strength: float = 0.5
    flip: float = 0.5
    jitter: float = 0.8
    grey: float = 0.2

    def draw(self, seed: int, index: Tensor, purpose: str, size: Sequence[int], count: int = 1) -> Views:
        """Draw `count` views per sample for N samples, in order: N * count in all. size: (height, width)."""
        uniform = seeding.uniform(seed, index, purpose, (count, NUMBERS), dtype=torch.float64)
        unit = (uniform.flatten(0, 1) + 1) / 2
        attempts, place, coins, amounts, order = unit.split([2 * ATTEMPTS, 2, 3, 4, 4], dim=1)
        spread = torch.tensor([0.8, 0.8, 0.8, 0.2]) * self.strength
        centre = torch.tensor([1.0, 1.0, 1.0, 0.0])
        spread, centre = (_on(values, unit) for values in (spread, centre))
        return Views(
            crop=self._crop(attempts.unflatten(1, (2, ATTEMPTS)), place, *size).float(),
            flip=coins[:, 0] < self.flip,
            jitter=coins[:, 1] < self.jitter,
            grey=coins[:, 2] < self.grey,
            factors=(centre + spread * (2 * amounts - 1)).float(),
            order=order.argsort(dim=1),
        )

    def _crop(self, attempts: Tensor, place: Tensor, height: int, width: int) -> Tensor:
        """The first of the attempts (N, 2, ATTEMPTS) that fits the image."""
        area = height * width * (self.scale[0] + (self.scale[1] - self.scale[0]) * attempts[:, 0])
        low, high = map(math.log, self.ratio)
        ratio = torch.exp(low + (high - low) * attempts[:, 1])
        w, h = (area * ratio).sqrt().round(), (area / ratio).sqrt().round()
        fits = (w >= 1) & (w <= width) & (h >= 1) & (h <= height)
        first = fits.int().argmax(1, keepdim=True)
        w, h, fits = (t.gather(1, first)[:, 0] for t in (w, h, fits))
        h, w = torch.where(fits, h, height), torch.where(fits, w, width)
        top, left = (place[:, 0] * (height - h + 1)).floor(), (place[:, 1] * (width - w + 1)).floor()
        return torch.stack([top, left, h, w], 1)

    def __call__(self, x: Tensor, views: Views) -> Tensor:
        """Views of x (N, 3, H, W) in [0, 1], of the same shape, channels last."""
        if x.ndim != 4 or x.shape[1] != 3:
            raise ValueError(f"SimCLR's augmentations need colour images (N, 3, H, W), got {tuple(x.shape)}")
        x = resized_crop(x, views.crop, views.flip).contiguous(memory_format=torch.channels_last)
        factors = torch.where(
            views.jitter[:, None], views.factors, _on(torch.tensor([1.0, 1.0, 1.0, 0.0]), x)
        )
        x = colour_jitter(x, factors, views.order)
        return torch.where(views.grey[:, None, None, None], grey(x), x)


def _on(values: Tensor, like: Tensor) -> Tensor:
    return values.to(like.device, like.dtype, non_blocking=True)


def resized_crop(x: Tensor, crop: Tensor, flip: Tensor) -> Tensor:
    """Crop each image of x (N, C, H, W), resize to H x W bilinearly, mirror where `flip`.

    A crop is never larger than the image, so it needs no smoothing before resizing. The resizing is two
    matrix products per image: the weight of an image row for a view row is a hat function.
    """
    height, width = x.shape[-2:]
    top, left, h, w = crop.T[..., None, None]
    rows = _hat(height, top, h, x)
    columns = _hat(width, left, w, x)
    columns = torch.where(flip[:, None, None], columns.flip(1), columns)
    return rows[:, None] @ x @ columns.mT[:, None]


def _hat(size: int, start: Tensor, length: Tensor, x: Tensor) -> Tensor:
    """The weights, (N, size, size), of each source pixel for each of `size` pixels of the resized crop."""
    pixels = torch.arange(size, device=x.device, dtype=x.dtype)
    source = (pixels[:, None] + 0.5) * (length / size) - 0.5
    source = start + torch.minimum(source.clamp(min=0), length - 1)
    return (1 - (source - pixels).abs()).clamp(min=0)


def colour_jitter(x: Tensor, factors: Tensor, order: Tensor) -> Tensor:
    """Change brightness, contrast, saturation and hue of each image by its factors (N, 4), in its order."""
    place = order.argsort(dim=1)  # the position of each operation
    turn = place[:, HUE]
    # Hue is the expensive operation. It is computed once, between the blends before it and those after it.
    x = _blends(x, factors, order, lambda step: step < turn)
    x = torch.where((factors[:, HUE] != 0)[:, None, None, None], shift_hue(x, factors[:, HUE]), x)
    return _blends(x, factors, order, lambda step: step > turn)


def _blends(x: Tensor, factors: Tensor, order: Tensor, due: Callable[[int | Tensor], Tensor]) -> Tensor:
    """Apply the operations other than hue that are due in `order`: f x + (1 - f) y, clipped to [0, 1].

    y is black for brightness, the mean grey for contrast, the grey image for saturation.
    """
    for step in range(4):
        operation = order[:, step, None, None, None]
        factor = factors.gather(1, order[:, step, None])[:, 0]
        factor = torch.where(due(step) & (order[:, step] != HUE), factor, 1)[:, None, None, None]
        shade = grey(x)
        other = torch.where(operation == CONTRAST, shade.mean((2, 3), keepdim=True), shade)
        other = torch.where(operation == BRIGHTNESS, 0, other)
        x = (factor * x + (1 - factor) * other).clamp(0, 1)
    return x


def grey(x: Tensor) -> Tensor:
    """(N, 3, H, W) to luminance, (N, 1, H, W)."""
    red, green, blue = x.unbind(1)
    return (GREY[0] * red + GREY[1] * green + GREY[2] * blue)[:, None]


def shift_hue(x: Tensor, shift: Tensor) -> Tensor:
    """Turn the hue of x (N, 3, H, W) by `shift` (N,), a share of the colour circle."""
    red, green, blue = x.unbind(1)
    value = x.amax(1)
    chroma = value - x.amin(1)
    # The hue of a grey pixel is undefined. Any finite value will do, because its chroma is 0.
    unit = torch.where(chroma > 0, chroma, 1)
    hue = torch.where(
        value == red,
        (green - blue) / unit,
        torch.where(value == green, 2 + (blue - red) / unit, 4 + (red - green) / unit),
    )
    hue = hue + 6 * shift[:, None, None]

    def channel(offset: int) -> Tensor:
        k = (offset + hue) % 6
        return value - chroma * torch.minimum(k, 4 - k).clamp(0, 1)

    return torch.stack([channel(5), channel(3), channel(1)], 1)
