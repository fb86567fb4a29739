"""Prepared data: one checked safetensors file per data set, the only form that later stages read."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from uae import storage
from uae.data import catalogue
from uae.errors import BadFile, DataError

ARRAYS = ("x_train", "y_train", "x_test", "y_test")


def prepare(data: str, raw: Path, target: Path) -> None:
    """Read the raw files of a data name from the folder `raw` and write `target`.

    Raises `DataError` naming the file that is missing or differs from the published one.
    """
    from uae.data import fetch, readers  # not at the top: only this stage needs their packages

    entry, limit = catalogue.lookup(data)
    for name, expected in entry.files.items():
        path = raw / name
        if not path.exists():
            raise DataError(f"{path}: no such file; run the download rule or put it there")
        try:
            fetch.verify(path, expected, entry)
        except DataError as error:
            raise DataError(
                f"{path}: {fetch.reason(error, path)}; delete it to have it downloaded again"
            ) from None
    files = [raw / name for name in entry.files]
    arrays = dict(zip(ARRAYS, getattr(readers, entry.reader)(entry, *files), strict=True))
    _check(arrays, entry, ", ".join(map(str, files)) or data)
    rows = np.arange(entry.train)
    if limit:
        rows = np.sort(np.random.default_rng(0).permutation(entry.train)[:limit])
        arrays |= {"x_train": arrays["x_train"][rows], "y_train": arrays["y_train"][rows]}
    parts = catalogue.parse(data)
    if parts.transformed:
        from uae.data import transforms  # needs PyTorch; other data do not

        arrays |= transforms.augmented(arrays["x_train"], arrays["y_train"], rows, parts)
    content = hashlib.sha256()
    for name in ARRAYS:
        content.update(np.ascontiguousarray(arrays[name]).data)
    metadata = {
        "dataset": entry.stands_for,
        "variant": data,
        "title": catalogue.describe(data),
        "source": list(entry.urls) or ("mirror" if entry.files else "embedded"),
        "licence": entry.licence,
        "sha256": content.hexdigest(),
    }
    storage.write_tensors(target, arrays, metadata)


def _check(arrays: dict[str, np.ndarray], entry: catalogue.Entry, source: str) -> None:
    """Raise DataError unless both parts have the catalogue's number of samples and all classes."""
    for part, expected in [("train", entry.train), ("test", entry.test)]:
        x, y = arrays[f"x_{part}"], arrays[f"y_{part}"]
        if not len(x) == len(y) == expected:
            raise DataError(
                f"{source}: {len(x)} samples and {len(y)} labels in the {part} part, expected {expected}"
            )
        absent = np.setdiff1d(np.arange(entry.classes), y)
        if absent.size:
            raise DataError(f"{source}: no sample of class {absent[0]} in the {part} part")


@dataclass(frozen=True)
class Prepared:
    """One prepared data set: images uint8 (N, C, H, W) or tables float32 (N, d), labels int64.

    Training images with added noise are float32 in [0, 1] (`uae.data.transforms`).
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    metadata: dict[str, Any]

    def unit(self, part: str) -> Any:
        """`train` or `test` samples as a float32 torch tensor in [0, 1]."""
        import torch  # not at the top: rendering reads catalogues without torch

        x = torch.from_numpy(getattr(self, f"x_{part}"))
        return x.float() / 255 if x.dtype == torch.uint8 else x


def load(path: str | Path) -> Prepared:
    """Read a prepared file. Raises `BadFile` if it is damaged or was changed."""
    arrays, metadata = storage.read_tensors(path, *ARRAYS)
    content = hashlib.sha256()
    for name in ARRAYS:
        content.update(np.ascontiguousarray(arrays[name]).data)
    if content.hexdigest() != metadata.get("sha256"):
        raise BadFile(f"{path}: the content does not have the checksum in its metadata; delete it")
    return Prepared(**arrays, metadata=metadata)
