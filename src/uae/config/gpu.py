"""Ask the driver whether PyTorch would find a GPU, because importing torch takes seconds.

Run as a program, it prints the number of GPUs.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import re
from pathlib import Path


def resolved(device: str) -> str:
    """The device, `cpu` or `cuda`: `auto` becomes one of them on this machine."""
    return device if device != "auto" else "cuda" if has_cuda() else "cpu"


def has_cuda() -> bool:
    """Whether this process may use a GPU whose driver is as new as the CUDA that PyTorch is built for."""
    return count() > 0


@functools.cache
def count() -> int:
    """The number of these GPUs."""
    needed = _cuda_of_torch()
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    devices, version = ctypes.c_int(), ctypes.c_int()
    usable = (
        needed is not None
        and driver.cuInit(0) == 0
        and driver.cuDeviceGetCount(ctypes.byref(devices)) == 0
        and driver.cuDriverGetVersion(ctypes.byref(version)) == 0
        and version.value // 1000 >= needed
    )
    return devices.value if usable else 0


def _cuda_of_torch() -> int | None:
    """The major version of the CUDA that the installed PyTorch is built for. None without PyTorch or CUDA."""
    torch = importlib.util.find_spec("torch")
    if torch is None or torch.origin is None:
        return None
    try:
        text = Path(torch.origin).with_name("version.py").read_text(encoding="utf-8")
    except OSError:  # the installation is broken
        return None
    found = re.search(r"^cuda\b.*=\s*['\"](\d+)", text, re.MULTILINE)
    return int(found[1]) if found else None


if __name__ == "__main__":
    print(count())
