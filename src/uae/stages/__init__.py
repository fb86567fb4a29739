"""The workflow's stages: files in, one file out (evaluation: a record a checkpoint).

The rules call them through `uae.cli`; they know nothing of Snakemake. `settings` is what
`uae.config.Config` gives a job.
"""

from collections.abc import Callable

Progress = Callable[[int, int, str], None]


def use(device: str) -> None:
    """Called by every stage before it computes on `cpu` or `cuda`.

    Full float32 on GPUs: the criterion compares losses that differ in the sixth digit, and TF32
    convolutions keep three.
    """
    if device == "cuda":
        import torch

        torch.backends.cudnn.allow_tf32 = False
