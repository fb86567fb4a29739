"""The workflow's stages: files in, files out: checkpoints, UAE sets or records.

The rules call them through `uae.cli`; they know nothing of Snakemake. `settings` is what
`uae.config.Config` gives a job.
"""

import ctypes
import gc
import inspect
from collections.abc import Callable

from uae.errors import InputError

Progress = Callable[[int, int, str], None]


def use(device: str) -> None:
    """Called by every stage before it computes on `cpu` or `cuda`.

    Full float32 on GPUs: the criterion compares losses that differ in the sixth digit, and TF32
    convolutions keep three. Raises InputError where there is no such device.
    """
    import torch

    if device not in ("cpu", "cuda"):
        raise InputError(f"--device {device!r} is none of cpu, cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError(
            "--device cuda: PyTorch finds no GPU; take --device cpu (the workflow: --config device=cpu)"
        )
    gc.enable()  # off until now, while modules were imported
    if device == "cuda":
        torch.backends.cudnn.allow_tf32 = False
    else:
        _keep_memory()
    # The first optimiser would load PyTorch's compiler, as long as all of PyTorch takes, only to tell it
    # to leave this method alone. No stage compiles its optimiser.
    optimizer = torch.optim.Optimizer
    optimizer.add_param_group = inspect.unwrap(optimizer.add_param_group)


def _keep_memory() -> None:
    """Keep the memory of freed tensors in the process, where the C library is glibc.

    It hands each large one back to the kernel and asks for the next page by page: up to a third of a
    stage's time.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        trim_threshold, mmap_max = -1, -4  # malloc.h
        mallopt(mmap_max, 0)
        mallopt(trim_threshold, 2**31 - 1)
