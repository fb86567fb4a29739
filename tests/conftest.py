"""One thread a test process: the tests are many small computations, run side by side."""

import os

import torch

torch.set_num_threads(1)
# Before Triton's first import: without a GPU its interpreter runs the kernels, in NumPy.
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")
