"""Helpers of several readers: splits, scaling, labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from uae import subseeds
from uae.data.catalogue import Entry
from uae.errors import DataError

Split = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def rng(purpose: str) -> np.random.Generator:
    """The generator of a random choice that belongs to the data: the same in every run."""
    return np.random.default_rng(subseeds.derive(0, purpose))


def stratified(x: np.ndarray, y: np.ndarray, entry: Entry, source: str | Path) -> Split:
    """A fixed random split into entry.train and entry.test samples, with equal shares of each class."""
    from sklearn.model_selection import train_test_split

    if len(x) != entry.train + entry.test:
        raise DataError(f"{source}: {len(x)} samples, expected {entry.train + entry.test}")
    values, counts = np.unique(y, return_counts=True)
    if counts.min() < 2:
        raise DataError(f"{source}: class {values[counts.argmin()]} has one sample; the split needs two")
    seed = subseeds.derive(0, "split") % 2**32
    x_train, x_test, y_train, y_test = train_test_split(
        x, y, train_size=entry.train, test_size=entry.test, stratify=y, random_state=seed
    )
    return x_train, y_train, x_test, y_test


def min_max(x_train: np.ndarray, x_test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each feature scaled to [0, 1] over both parts together, float32; a constant feature becomes 0."""
    x = np.concatenate([x_train, x_test]).astype(np.float64)
    low, high = x.min(axis=0), x.max(axis=0)
    x = ((x - low) / np.where(high > low, high - low, 1)).astype(np.float32)
    return x[: len(x_train)], x[len(x_train) :]


def labels(y: np.ndarray, first: int, entry: Entry, source: str | Path) -> np.ndarray:
    """Labels from `first` on as int64 from 0. Another value raises a DataError that names its row."""
    y = np.asarray(y).reshape(-1)
    wrong = np.flatnonzero(~np.isin(y, np.arange(first, first + entry.classes)))
    if wrong.size:
        raise DataError(
            f"{source}: label {y[wrong[0]]} in row {wrong[0] + 1}, allowed are "
            f"{first} to {first + entry.classes - 1}"
        )
    return y.astype(np.int64) - first
