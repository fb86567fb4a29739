"""`seeding.gaussian` compiled for the CPU: the same bits, at the speed of the products that take them."""

from __future__ import annotations

import math

import numpy as np
from torch import Tensor

from uae import seeding
from uae.mine.engines.compiled import exact, share
from uae.mine.engines.shuffle import GOLDEN, mix
from uae.mine.engines.simd import bits_of, float_of

HALF, ROOT_HALF = seeding.HALF, np.int32(seeding.ROOT_HALF)
ONE, HALF_ONE, LOG2 = np.float32(1), np.float32(0.5), np.float32(math.log(2))
SCALE, EIGHTH = np.float32(math.pi / 2**31), np.float32(math.pi / 4)
L0, L1, L2, L3, L4 = (np.float32(number) for number in seeding.LOG)
S0, S1, S2 = (np.float32(number) for number in seeding.SINE)
C0, C1, C2, C3 = (np.float32(number) for number in seeding.COSINE)


@exact()
def _draw(start, stop, index, purpose, std, out):  # type: ignore[no-untyped-def]
    """Rows start..stop - 1 of out (N, size), times `std`: `seeding.gaussian` line for line.

    Not fast-math: a product and a sum that are fused are rounded once.
    """
    size = out.shape[1]
    high, low = np.empty(HALF, np.int32), np.empty(HALF, np.int32)
    block = np.empty(2 * HALF, np.float32)
    for i in range(start, stop):
        key = mix(mix(np.uint64(index[i]) * GOLDEN) + purpose)
        for at in range(0, size, 2 * HALF):
            before = key + np.uint64(at // 2 + 1) * GOLDEN
            for k in range(HALF):
                hashed = mix(before + np.uint64(k) * GOLDEN)
                high[k], low[k] = np.int32(hashed >> np.uint64(40)), np.int32(hashed)
            for k in range(HALF):
                second = low[k]
                whole = np.int32(bits_of(np.float32(high[k]) + HALF_ONE) - ROOT_HALF)  # type: ignore[call-arg]
                exponent = np.float32(whole >> np.int32(23)) - np.float32(24)
                m = float_of(np.int32((whole & np.int32(0x7FFFFF)) + ROOT_HALF)) - ONE
                square = m * m
                p = (L1 * m + L0) + square * ((L3 * m + L2) + square * L4)
                log = exponent * LOG2 + (m + square * (m * p - HALF_ONE))
                radius = np.float32(math.sqrt(max(log * np.float32(-2), np.float32(0))))
                angle = np.float32(np.int32(second & np.int32(0x3FFFFFFF))) * SCALE - EIGHTH
                square = angle * angle
                sine = angle + angle * square * ((S2 * square + S1) * square + S0)
                cosine = (((C3 * square + C2) * square + C1) * square + C0) * square + ONE
                radius = -radius if second < 0 else radius
                turned = second & np.int32(0x40000000)
                block[k] = radius * (sine if turned else cosine)
                block[HALF + k] = radius * (cosine if turned else sine)
            row = out[i, at : at + 2 * HALF]
            for k in range(len(row)):
                row[k] = out.dtype.type(block[k]) * std


def gaussian(seed: int, index: Tensor, purpose: str, std: float, out: Tensor) -> None:
    """Fill `out` (N, size), float32 or float64 on a CPU, with `seeding.gaussian` times `std`."""
    array = out.numpy()
    args = index.contiguous().numpy(), np.uint64(seeding.derive(seed, purpose)), array.dtype.type(std), array
    share(lambda start, stop: _draw(start, stop, *args), len(index))
