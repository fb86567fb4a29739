"""The memory that is free for a large tensor or a batch, before it is allocated."""

from __future__ import annotations

import math
import os
import weakref
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

CGROUPS = Path("/sys/fs/cgroup")
SHARE = "UAE_GPU_SHARE"  # the jobs on a GPU, of `uae.gpus`, which must not import PyTorch


def free(device: torch.device) -> int | None:
    """The bytes of a GPU that this process may still take; None for another device.

    What PyTorch keeps of freed tensors counts as free. Jobs that share a GPU have equal parts of its memory.
    """
    if device.type != "cuda":
        return None
    unused, total = torch.cuda.mem_get_info(device)
    allocated = torch.cuda.memory_allocated(device)
    kept = torch.cuda.memory_reserved(device) - allocated
    return max(0, min(unused + kept, total // int(os.environ.get(SHARE) or 1) - allocated))


def fitting(sample: int, memory: int) -> int:
    """The samples of `sample` bytes in a batch: as many as fit a third of the free memory, 8 GiB at most.

    A larger batch would not use a GPU better.

    >>> fitting(sample=2**20, memory=3 * 2**30)
    1024
    """
    return max(1, min(memory // 3, 2**33) // sample)


class _Kept:
    """A tensor that waits for a backward pass."""

    def __init__(self, tensor: Tensor):
        self.tensor = tensor.detach()


def saved(compute: Callable[[], Tensor]) -> int:
    """The bytes that a result keeps for its gradient, once it is computed."""
    kept: weakref.WeakSet[_Kept] = weakref.WeakSet()  # a loss may compute gradients within, and free them

    def pack(tensor: Tensor) -> _Kept:
        kept.add(found := _Kept(tensor))
        return found

    hooks = torch.autograd.graph.saved_tensors_hooks(pack, lambda found: found.tensor)
    with torch.enable_grad(), hooks:
        value = compute()
    storages = [found.tensor.untyped_storage() for found in kept]
    sizes = {storage.data_ptr(): storage.nbytes() for storage in storages}
    del value  # it keeps what is saved until here
    return sum(sizes.values())


def available(device: torch.device) -> float:
    """The bytes that a tensor may take on a device; infinity if unknown.

    On a GPU it is that of `free`. On a CPU it is the smallest of the machine's free memory, this process's
    limit of addresses (ulimit -v) and the limits of its control groups (a container or a cluster job).
    """
    if (of_gpu := free(device)) is not None:
        return of_gpu
    return max(0.0, min(_of_machine(), _of_addresses(), _of_control_groups()))


def _fields(path: str) -> dict[str, int]:
    """The sizes in bytes from a file of /proc with lines such as `VmSize:  12 kB`."""
    try:
        lines = [line.split() for line in Path(path).read_text().splitlines()]
    except OSError:
        return {}
    return {line[0].rstrip(":"): int(line[1]) * 1024 for line in lines if line[-1] == "kB"}


def _of_machine() -> float:
    return _fields("/proc/meminfo").get("MemAvailable", math.inf)


def _of_addresses() -> float:
    import resource  # only Unix has it

    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit == resource.RLIM_INFINITY:
        return math.inf
    return limit - _fields("/proc/self/status").get("VmSize", 0)


def _of_control_groups() -> float:
    """The free bytes of this process's control group and its parents, in both versions of the interface."""
    try:
        entries = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    except OSError:
        return math.inf
    least = math.inf
    for _, kinds, name in entries:
        if kinds and "memory" not in kinds.split(","):
            continue
        root, limit, used, cached = (
            (CGROUPS / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            if kinds
            else (CGROUPS, "memory.max", "memory.current", "inactive_file")
        )
        folder = root / name.lstrip("/")
        for group in (folder, *folder.parents):
            if not group.is_relative_to(root):
                break
            try:
                most = (group / limit).read_text().strip()
                statistics = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
                if most != "max":
                    free = int(most) - int((group / used).read_text()) + int(statistics.get(cached, 0))
                    least = min(least, free)
            except (OSError, ValueError):
                continue
    return least
