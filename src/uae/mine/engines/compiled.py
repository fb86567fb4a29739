"""Compilation of the CPU's kernels, and the division of a kernel's work among threads."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import torch

from uae.mine.engines.cache import cached_njit

# Python's error model would put a branch on a zero divisor into the loops, and no branch vectorises.
exact = partial(cached_njit, error_model="numpy", nogil=True)
# Not all of fast-math: a NaN must stay a NaN for the attack to report it.
compiled = partial(exact, fastmath={"reassoc", "contract", "arcp", "nsz"})
# Called, a function would be one copy in the process that compiles it and another, optimised with its
# caller, in those that load the cache: the last bits of a sum could differ.
inlined = partial(compiled, forceinline=True)


@inlined()
def copy(source, out):  # type: ignore[no-untyped-def]
    """The top left of `out` = source, row by row: an assignment of slices is one number at a time."""
    for k in range(source.shape[0]):
        for d in range(source.shape[1]):
            out[k, d] = source[k, d]


def share(work: Callable[[int, int], None], count: int, block: int = 1) -> None:
    """Call work(start, stop) on torch's number of threads, which cover 0..count - 1 in whole blocks."""
    blocks = count // block
    bounds = np.linspace(0, blocks, min(torch.get_num_threads(), blocks) + 1).astype(int) * block
    if len(bounds) == 2:
        return work(0, count)
    with ThreadPoolExecutor(max(len(bounds) - 1, 1)) as pool:
        list(pool.map(work, bounds[:-1].tolist(), bounds[1:].tolist()))


def scratch(like: np.ndarray, *shape: int) -> np.ndarray:
    """Zeros that begin with a cache line. A NumPy array may begin elsewhere, and a register that lies in two
    lines takes two loads."""
    return torch.zeros(shape, dtype=torch.from_numpy(like).dtype).numpy()
