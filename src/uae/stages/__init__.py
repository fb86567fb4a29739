"""The workflow's stages. Each reads files and writes checkpoints, UAE sets or records.

The rules call them through `uae.cli`. They do not depend on Snakemake. `settings` come from
`uae.config.Config`.
"""

import ctypes
import gc
from collections.abc import Callable

from uae.errors import InputError

Progress = Callable[[int, int, str], None]


def use(device: str) -> None:
    """Set up PyTorch for `cpu` or `cuda`. Every stage calls it before it computes.

    GPUs compute in full float32: the criterion compares losses that differ in the sixth digit, and TF32
    keeps three. Raises InputError for a device that does not exist.
    """
    import torch

    if device not in ("cpu", "cuda"):
        raise InputError(f"--device {device!r} is not one of cpu, cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError(
            "--device cuda: PyTorch finds no GPU; use --device cpu (in the workflow: --config device=cpu)"
        )
    gc.enable()  # the command disabled it during imports
    if device == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = False  # TORCH_ALLOW_TF32_CUBLAS_OVERRIDE=1 turns it on
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cudnn.deterministic = True  # a run repeats another one as far as PyTorch allows it
    else:
        _keep_memory()


def _keep_memory() -> None:
    """Keep the memory of freed tensors in the process, if the C library is glibc.

    By default glibc returns each large block to the kernel, and the next allocation faults page by page.
    This takes up to a third of a stage's time.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        trim_threshold, mmap_max = -1, -4  # malloc.h
        mallopt(mmap_max, 0)
        mallopt(trim_threshold, 2**31 - 1)
