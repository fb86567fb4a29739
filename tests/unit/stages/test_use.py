"""A job computes on its device, in full float32."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from types import SimpleNamespace

import torch

from uae.stages.evaluate import classifiers

# In a separate process: PyTorch's flags are global.
FLAGS = """
import torch
torch.cuda.is_available = lambda: True
from uae.stages import use
use("cuda")
print(torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32)
print(torch.backends.cudnn.deterministic)
"""


def test_a_gpu_computes_deterministically_and_without_tf32_whatever_the_environment_says():
    environment = os.environ | {"TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": "1"}
    assert (
        subprocess.check_output([sys.executable, "-c", FLAGS], env=environment, text=True)
        == "False False\nTrue\n"
    )


def test_the_information_of_table_1_is_estimated_on_the_job_s_device(monkeypatch):
    """Without a GPU, on the device `meta`, whose tensors hold no numbers."""

    class Result(SimpleNamespace):
        def __len__(self):
            return 4

    x, seen = torch.rand(4, 2), []
    result = Result(adv=x, success=torch.ones(4) > 0, success_rate=1.0, loss=x, loss_clean=x, metadata={})

    def information(pairs, x, *others):
        seen.extend([x, *pairs.values()])
        raise StopIteration

    monkeypatch.setattr(classifiers, "_information", information)
    subject = SimpleNamespace(
        device="meta",
        names=SimpleNamespace(seed=0),
        originals=lambda result, part: x,
        sets=lambda: [result],
        settings={"estimator": {"images": 3, "random_sampling": {}}},
    )
    with contextlib.suppress(StopIteration):
        classifiers.table1(subject)
    assert [tensor.device.type for tensor in seen] == ["meta"] * 4
    assert [len(tensor) for tensor in seen] == [3] * 4
