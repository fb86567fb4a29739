"""Whether PyTorch would find a GPU, asked of the driver: importing torch takes seconds.

As a program it prints how many there are.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import re
from pathlib import Path


def resolved(device: str) -> str:
    """`cpu` or `cuda`: what `auto` means on this machine."""
    return device if device != "auto" else "cuda" if has_cuda() else "cpu"


def has_cuda() -> bool:
    """A GPU that this process may use, by a driver as new as the CUDA that PyTorch is built for."""
    return count() > 0


@functools.cache
def count() -> int:
    """How many such GPUs there are."""
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
    """The major version of the CUDA that the installed PyTorch is built for; None without either."""
    torch = importlib.util.find_spec("torch")
    if torch is None or torch.origin is None:
        return None
    try:
        text = Path(torch.origin).with_name("version.py").read_text(encoding="utf-8")
    except OSError:  # a broken installation
        return None
    found = re.search(r"^cuda\b.*=\s*['\"](\d+)", text, re.MULTILINE)
    return int(found[1]) if found else None


if __name__ == "__main__":
    print(count())
