"""The workflow's stages: files in, one file out (evaluation: a record a checkpoint).

The rules call them through `uae.cli`; they know nothing of Snakemake. `settings` is what
`uae.config.Config` gives a job.
"""

import inspect
from collections.abc import Callable

Progress = Callable[[int, int, str], None]


def use(device: str) -> None:
    """Called by every stage before it computes on `cpu` or `cuda`.

    Full float32 on GPUs: the criterion compares losses that differ in the sixth digit, and TF32
    convolutions keep three.
    """
    import torch

    if device == "cuda":
        torch.backends.cudnn.allow_tf32 = False
    # The first optimiser would load PyTorch's compiler, as long as all of PyTorch takes, only to tell it
    # to leave this method alone. No stage compiles its optimiser.
    optimizer = torch.optim.Optimizer
    optimizer.add_param_group = inspect.unwrap(optimizer.add_param_group)
