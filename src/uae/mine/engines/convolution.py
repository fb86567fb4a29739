"""Convolutions from many channels to few, compiled for the CPU: oneDNN reaches a tenth of the peak there.

Registers hold channels; `wide` is their number in whole registers.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from uae.mine.engines.compiled import compiled, copy, scratch
from uae.mine.engines.simd import WIDTH, fma, lanes, load, spread, totals

PIXELS = 8  # of a row at a time: as many sums in registers


@compiled()
def _narrow(image, last, weight, padding, padded, out):  # type: ignore[no-untyped-def]
    """out (N, H, W, C): image by weight (C, k, k, wide).

    image: (N, h, w, O) if the channels are the last, else (N, O, h, w).
    padded: scratch of zeros, (h + 2 padding, w + 2 padding, wide).
    """
    height, width = image.shape[1:3] if last else image.shape[2:]
    channels, kernel, wide = weight.shape[0], weight.shape[1], weight.shape[3]
    rows, columns = out.shape[1:3]
    step, across = lanes(image), padded.shape[1] * wide  # type: ignore[var-annotated, call-arg]
    for n in range(len(image)):
        for y in range(height):
            inner = padded[padding + y, padding : padding + width]
            if last:
                copy(image[n, y], inner)
            else:
                copy(image[n, :, y], inner.T)
        for y in range(rows):
            row = out[n, y]
            for block in range(0, columns, PIXELS):
                x = min(block, columns - PIXELS)  # the last block may repeat some
                for c in range(channels):
                    a0 = a1 = a2 = a3 = a4 = a5 = a6 = a7 = spread(out.dtype.type(0))
                    for i in range(kernel):
                        at, w = (y + i) * across + x * wide, (c * kernel + i) * kernel * wide
                        for d in range(0, kernel * wide, step):
                            u, p = load(weight, w + d), at + d
                            a0 = fma(load(padded, p), u, a0)
                            a1 = fma(load(padded, p + wide), u, a1)
                            a2 = fma(load(padded, p + 2 * wide), u, a2)
                            a3 = fma(load(padded, p + 3 * wide), u, a3)
                            a4 = fma(load(padded, p + 4 * wide), u, a4)
                            a5 = fma(load(padded, p + 5 * wide), u, a5)
                            a6 = fma(load(padded, p + 6 * wide), u, a6)
                            a7 = fma(load(padded, p + 7 * wide), u, a7)
                    sums = totals((a0, a1, a2, a3, a4, a5, a6, a7))
                    row[x, c], row[x + 1, c] = sums[0], sums[1]
                    row[x + 2, c], row[x + 3, c] = sums[2], sums[3]
                    row[x + 4, c], row[x + 5, c] = sums[4], sums[5]
                    row[x + 6, c], row[x + 7, c] = sums[6], sums[7]


def narrow(images: Tensor, weight: Tensor, padding: int) -> Tensor:
    """conv2d of images (N, O, h, w) by weight (C, O, k, k). The result has PIXELS or more in a row."""
    (count, units, height, width), (channels, _, kernel, _) = images.shape, weight.shape
    missing = -units % (WIDTH // images.itemsize)
    weights = F.pad(weight.permute(0, 2, 3, 1), (0, missing))
    last = not images.is_contiguous()
    pixels = images.permute(0, 2, 3, 1) if last else images
    shape = count, channels, height + 2 * padding - kernel + 1, width + 2 * padding - kernel + 1
    out = torch.empty(shape, dtype=images.dtype, memory_format=torch.channels_last)
    image = pixels.contiguous().numpy()
    padded = scratch(image, height + 2 * padding, width + 2 * padding, units + missing)
    _narrow(image, last, weights.contiguous().numpy(), padding, padded, out.permute(0, 2, 3, 1).numpy())
    return out
