"""`seeding.permutations` compiled for the CPU: the same numbers, without PyTorch's sort."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from uae import seeding
from uae.mine.engines.compiled import compiled, inlined, share

GOLDEN, MIX1, MIX2 = (np.uint64(number) for number in (seeding.GOLDEN, seeding.MIX1, seeding.MIX2))


@inlined()
def mix(x):  # type: ignore[no-untyped-def]
    """SplitMix64's finaliser, as `seeding` has it."""
    x = (x ^ (x >> np.uint64(30))) * MIX1
    x = (x ^ (x >> np.uint64(27))) * MIX2
    return x ^ (x >> np.uint64(31))


@compiled()
def _permute(start, stop, index, purpose, bits, out):  # type: ignore[no-untyped-def]
    """Samples start..stop - 1 of out (N, count, size): the order of their hashes as signed numbers.

    A counting sort by the hashes' first `bits` bits puts all but a few neighbours in order.
    """
    count, size = out.shape[1:]
    hashes, keys, places = np.empty(size, np.uint64), np.empty(size, np.uint64), np.empty(1 << bits, np.int32)
    for i in range(start, stop):
        first = mix(mix(np.uint64(index[i]) * GOLDEN) + purpose)
        for s in range(count):
            row = out[i, s]
            for k in range(size):
                hashes[k] = mix(first + np.uint64(s * size + k + 1) * GOLDEN) ^ np.uint64(1 << 63)
            places[:] = 0
            for k in range(size):
                places[hashes[k] >> np.uint64(64 - bits)] += 1
            before = 0
            for b in range(len(places)):
                before, places[b] = before + places[b], before
            for k in range(size):
                b = hashes[k] >> np.uint64(64 - bits)
                keys[places[b]], row[places[b]] = hashes[k], k
                places[b] += 1
            for k in range(1, size):
                key, number, at = keys[k], row[k], k
                while at > 0 and keys[at - 1] > key:
                    keys[at], row[at] = keys[at - 1], row[at - 1]
                    at -= 1
                keys[at], row[at] = key, number


def permutations(seed: int, index: Tensor, purpose: str, count: int, size: int) -> Tensor:
    """As `seeding.permutations`, for indices on a CPU."""
    out = torch.empty(len(index), count, size, dtype=torch.int64)
    bits, key = max(1, math.ceil(math.log2(size))), np.uint64(seeding.derive(seed, purpose))
    args = index.to(torch.int64).contiguous().numpy(), key, bits, out.numpy()
    share(lambda start, stop: _permute(start, stop, *args), len(index))
    return out
