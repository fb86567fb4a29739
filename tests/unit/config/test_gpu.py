"""The device `auto`: a GPU where PyTorch would find one, asked without PyTorch."""

import pytest

from uae.config import gpu


@pytest.mark.parametrize(
    ("init", "devices", "version", "torch", "expected"),
    [
        (0, 1, 13000, 13, "cuda"),
        (0, 2, 13010, 12, "cuda"),
        (0, 0, 13000, 13, "cpu"),  # CUDA_VISIBLE_DEVICES names none
        (100, 1, 13000, 13, "cpu"),  # a GPU node's file system, and no GPU
        (0, 1, 12080, 13, "cpu"),  # a driver too old for this PyTorch
        (0, 1, 13000, None, "cpu"),  # PyTorch for CPUs, or none
    ],
)
def test_auto_means_a_gpu_where_pytorch_would_find_one(monkeypatch, init, devices, version, torch, expected):
    class Driver:
        def __init__(self, name):
            assert name == "libcuda.so.1"

        def cuInit(self, flags):
            return init

        def cuDeviceGetCount(self, found):
            found._obj.value = devices
            return 0

        def cuDriverGetVersion(self, found):
            found._obj.value = version
            return 0

    monkeypatch.setattr(gpu.ctypes, "CDLL", Driver)
    monkeypatch.setattr(gpu, "_cuda_of_torch", lambda: torch)
    gpu.count.cache_clear()
    try:
        assert gpu.resolved("auto") == expected
        assert gpu.resolved("cpu") == "cpu" and gpu.resolved("cuda") == "cuda"
    finally:
        gpu.count.cache_clear()


def test_the_cuda_of_pytorch_is_read_without_importing_it():
    import torch

    cuda = torch.version.cuda
    assert gpu._cuda_of_torch() == (None if cuda is None else int(cuda.split(".")[0]))
    gpu.count.cache_clear()
    assert gpu.has_cuda() == torch.cuda.is_available()
