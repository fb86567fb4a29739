"""What `uae.stages.use` sets, in a separate process: PyTorch's flags are global."""

from __future__ import annotations

import os
import subprocess
import sys

FLAGS = """
import torch
torch.cuda.is_available = lambda: True
from uae.stages import use
use("cuda")
print(torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32)
"""


def test_a_gpu_computes_without_tf32_whatever_the_environment_says():
    environment = os.environ | {"TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": "1"}
    assert (
        subprocess.check_output([sys.executable, "-c", FLAGS], env=environment, text=True) == "False False\n"
    )
