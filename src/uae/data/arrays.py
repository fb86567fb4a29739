"""The user's arrays: samples and labels for `uae attack`, from .npy, .npz and .safetensors files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

from uae.data import untrusted
from uae.errors import DataError, InputError

SUFFIXES = (".npy", ".npz", ".safetensors")


def load_images(path: Path, array: str = "x") -> Tensor:
    """Load the samples in a file as float32 (N, ...). Bytes are divided by 255.

    array: the array's name if the file holds several. Raises InputError naming the file if its format is
    unknown, it is damaged or lacks the array, or the array holds complex numbers, no numbers, no samples or
    the bytes 0 and 1 only, which would be divided, too.
    """
    values = _load(path, array)
    if values.ndim < 2 or not values.numel():
        raise InputError(
            f"--data {path}: {array!r} is of shape {tuple(values.shape)}, not (N, ...) with N samples"
        )
    if values.dtype == torch.uint8 and values.max() == 1:
        raise InputError(
            f"--data {path}: {array!r} holds the bytes 0 and 1 only, and bytes are divided by 255: save it "
            "as floats, numpy.save(file, x.astype(numpy.float32))"
        )
    return values.float() / 255 if values.dtype == torch.uint8 else values.float()


def load_labels(path: Path, array: str = "y") -> Tensor:
    """Load the labels in a file, int64 (N,). Raises InputError if they are not a row of integers."""
    values = _load(path, array)
    if values.is_floating_point() or values.dtype == torch.bool or values.ndim != 1:
        kind = f"{str(values.dtype).removeprefix('torch.')} of shape {tuple(values.shape)}"
        if path.suffix.lower() == ".npy":  # they are the samples
            raise InputError(f"--data {path}: has one array, {kind}; give a .npz with samples x and labels y")
        raise InputError(f"--data {path}: {array!r} is {kind}; it must be a row of integers, the labels")
    labels = values.long()
    if (labels < 0).any():  # also uint64 values from 2^63 on
        row = int((labels < 0).nonzero()[0])
        raise InputError(f"--data {path}: {array!r} has {values[row].item()} in row {row}; labels start at 0")
    return labels


def _load(path: Path, array: str) -> Tensor:
    """Load the array as it is stored. Raises InputError."""
    try:
        suffix = path.suffix.lower()
        if suffix not in SUFFIXES:
            raise DataError(
                f"{path}: the suffix {path.suffix!r} is none of {', '.join(SUFFIXES)}; "
                "numpy.save(file, array) writes a .npy"
            )
        size = untrusted.regular(path)
        if suffix == ".npz":
            values = _tensor(untrusted.npz(path, array)[0])
        elif suffix == ".npy":
            try:
                with path.open("rb") as file:
                    values = _tensor(untrusted.npy(file, size))
            except DataError as error:
                raise DataError(f"{path}: {error}") from None
        else:
            values = _safetensor(path, array)
    except DataError as error:
        raise InputError(f"--data {error}") from None
    except (OSError, MemoryError) as error:
        raise InputError(f"--data {path}: {error or 'it does not fit into the memory'}") from None
    if values.is_complex():
        kind = str(values.dtype).removeprefix("torch.")
        raise InputError(f"--data {path}: {array!r} is complex ({kind}); need real numbers")
    return values


def _tensor(values: np.ndarray) -> Tensor:
    if values.dtype.kind == "f" and values.dtype.itemsize > 8:  # long double, which PyTorch lacks
        values = values.astype(np.float64)
    return torch.from_numpy(values)


def _safetensor(path: Path, array: str) -> Tensor:
    """Read a tensor by PyTorch, which has types that NumPy lacks. Foreign metadata are ignored."""
    try:
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
            if array in names:
                return file.get_tensor(array)
    except Exception as error:  # from the header's parser, or for types without a counterpart
        raise DataError(f"{path}: not a whole safetensors file ({error})") from None
    raise DataError(f"{path}: lacks {array}; it has {', '.join(names[:20]) or 'nothing'}")
