"""Image sets: MNIST's format, SVHN, CIFAR-10, COIL-20."""

from __future__ import annotations

import gzip
import io
import re
from pathlib import Path
from typing import IO

import numpy as np

from uae.data.catalogue import Entry
from uae.data.readers.common import Split, archive, arrays, labels, rng, stratified
from uae.errors import DataError

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


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


def idx(entry: Entry, x_train: Path, y_train: Path, x_test: Path, y_test: Path) -> Split:
    """MNIST's format: images and labels of each part in a file of their own."""
    train, test = (
        (_idx(x, 3)[:, None], labels(_idx(y, 1), 0, entry, y))
        for x, y in [(x_train, y_train), (x_test, y_test)]
    )
    return *train, *test


def _colour(path: Path, x: np.ndarray, y: np.ndarray, name: str) -> np.ndarray:
    """Check 32 x 32 colour images of shape (N, 32, 32, 3) and put their channels first."""
    if x.dtype != np.uint8 or x.ndim != 4 or x.shape[1:] != (32, 32, 3):
        raise DataError(f"{path}: {name} is {x.dtype} with one image of {x.shape[1:]}, not uint8 (32, 32, 3)")
    if y.size != len(x):
        raise DataError(f"{path}: {len(x)} images in {name}, {y.size} labels in y")
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2))


def _mat(path: Path, entry: Entry) -> tuple[np.ndarray, np.ndarray]:
    from scipy.io import loadmat

    try:
        content = loadmat(path, variable_names=["X", "y"])
    except Exception as error:  # a damaged file makes scipy raise a dozen kinds
        raise DataError(f"{path}: not a whole .mat file ({error})") from None
    missing = [name for name in ("X", "y") if name not in content]
    if missing:
        raise DataError(f"{path}: lacks the array {' and '.join(missing)}")
    x, y = content["X"], content["y"]
    if x.ndim != 4:
        raise DataError(f"{path}: X has {x.ndim} dimensions, expected 32 x 32 x 3 x samples")
    # Labels are 1 to 10, and 10 is the digit 0.
    return _colour(path, x.transpose(3, 0, 1, 2), y, "X"), (labels(y, 1, entry, path) + 1) % 10


def svhn(entry: Entry, train: Path, test: Path) -> Split:
    """SVHN's cropped digits, upstream's two .mat files; the `extra` part is not used."""
    return *_mat(train, entry), *_mat(test, entry)


def svhn_npz(entry: Entry, path: Path) -> Split:
    """10,000 images of SVHN in one .npz, split with a fixed seed."""
    x, y = arrays(path, "x", "y")
    return stratified(_colour(path, x, y, "x"), labels(y, 0, entry, path), entry, path)


def cifar10(entry: Entry, path: Path) -> Split:
    """CIFAR-10's binary archive: records of one label byte and 3 x 32 x 32 bytes in six files."""
    parts = {"train": [f"data_batch_{i}.bin" for i in range(1, 6)], "test": ["test_batch.bin"]}
    sizes = {"train": entry.train // 5, "test": entry.test}
    out = []
    with archive(path, "tar") as tar:
        contents = {
            Path(member.name).name: tar.extractfile(member).read() for member in tar if member.isfile()
        }
    for part, names in parts.items():
        x, y = [], []
        for name in names:
            if name not in contents:
                raise DataError(f"{path}: lacks {name}")
            if len(contents[name]) != sizes[part] * 3073:
                raise DataError(f"{path}: {name} has {len(contents[name])} bytes, not {sizes[part]} x 3073")
            records = np.frombuffer(contents[name], np.uint8).reshape(-1, 3073)
            x.append(records[:, 1:].reshape(-1, 3, 32, 32))
            y.append(labels(records[:, 0], 0, entry, f"{path}: {name}"))
        out += [np.concatenate(x), np.concatenate(y)]
    return tuple(out)


def cifar10_jpeg(entry: Entry, path: Path) -> Split:
    """CIFAR-10 as JPEG files `train/<class>/NNNN.jpg`, as many in each class; a lossy copy."""
    sizes = {"train": entry.train // entry.classes, "test": entry.test // entry.classes}
    found = {(part, name): {} for part in sizes for name in CIFAR10}
    with archive(path, "tar") as tar:
        for member in tar:
            match = re.search(r"(?:^|/)(train|test)/(\w+)/(\d+)\.jpg$", member.name)
            if match and match.group(1, 2) in found:
                image = _pixels(tar.extractfile(member), f"{path}: {member.name}", "RGB", (32, 32))
                found[match.group(1, 2)][int(match[3])] = image.transpose(2, 0, 1)
    for (part, name), images in found.items():
        if len(images) != sizes[part]:
            raise DataError(f"{path}: {part}/{name} has {len(images)} images, expected {sizes[part]}")
    out = []
    for part, size in sizes.items():
        x = np.stack([found[part, name][i] for name in CIFAR10 for i in sorted(found[part, name])])
        y = np.repeat(np.arange(len(CIFAR10)), size)
        order = rng(f"order/{part}").permutation(len(x))  # they come sorted by class
        out += [x[order], y[order]]
    return tuple(out)


def coil20(entry: Entry, path: Path) -> Split:
    """COIL-20's 72 views of each of 20 objects, resized to 20 x 20 (bicubic), split with a fixed seed."""
    return _coil20(entry, path, "BICUBIC")


def coil20_nearest(entry: Entry, path: Path) -> Split:
    """The same resized as by the public code, whose Pillow took the nearest pixel unless told otherwise."""
    return _coil20(entry, path, "NEAREST")


def _coil20(entry: Entry, path: Path, resampling: str) -> Split:
    from PIL import Image

    views = (entry.train + entry.test) // entry.classes
    x, y = [], []
    with archive(path, "zip") as file:
        members = {Path(name).name: name for name in file.namelist()}
        for label in range(entry.classes):
            for view in range(views):
                name = f"obj{label + 1}__{view}.png"
                if name not in members:
                    raise DataError(f"{path}: lacks the image {name}")
                image = _pixels(io.BytesIO(file.read(members[name])), f"{path}: {name}", "L", (128, 128))
                x.append(np.asarray(Image.fromarray(image).resize((20, 20), Image.Resampling[resampling])))
                y.append(label)
    return stratified(np.stack(x)[:, None], np.array(y, np.int64), entry, path)


def _pixels(file: IO[bytes], source: str, mode: str, size: tuple[int, int]) -> np.ndarray:
    """One image of the given mode and size (width, height)."""
    from PIL import Image

    try:
        with Image.open(file) as image:
            if image.size != size:
                raise DataError(f"{source}: {image.size[0]} x {image.size[1]} pixels, expected {size}")
            return np.asarray(image.convert(mode))
    except OSError as error:
        raise DataError(f"{source}: not a whole image ({error})") from None
