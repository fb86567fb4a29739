"""The engines that train the critics: alternatives that give the same numbers.

Three modules have an `Engine(critics, standardize)` with `train(x, z, perms)`: `portable` runs everywhere,
`numba` on a CPU, `triton` on a CUDA device. The two compiled ones are imported when they are chosen: both are
slow to import. The other modules are compiled functions, also for `uae.seeding`, `uae.projections` and
`uae.models`, and their tools.
"""

from __future__ import annotations

from importlib.util import find_spec

import torch

from uae.mine.critics import Critics
from uae.mine.engines import portable


def choose(critics: Critics, device: torch.device, count: int, standardize: bool = False) -> portable.Engine:
    """The fastest engine for critics of K = `count` samples on a device."""
    if device.type == "cpu" and find_spec("numba"):
        from uae.mine.engines import numba

        return numba.Engine(critics, standardize)
    if device.type == "cuda" and critics.out.dtype == torch.float32 and find_spec("triton"):
        from uae.mine.engines import triton

        if triton.Engine.takes(critics, count, device):
            return triton.Engine(critics, standardize)
    return portable.Engine(critics, standardize)
