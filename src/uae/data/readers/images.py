"""Image sets: MNIST's format, SVHN, CIFAR-10, COIL-20."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np

from uae.data import untrusted
from uae.data.catalogue import Entry
from uae.data.readers.common import Split, labels, rng, stratified
from uae.errors import DataError

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def _idx(path: Path, ndim: int) -> np.ndarray:
    """One IDX file of unsigned bytes: two zeros, type 8, the number of dimensions, sizes, data."""
    try:
        with untrusted.gunzipped(path) as file:
            header = file.read(4 + 4 * ndim)
            if header[:4] != bytes([0, 0, 8, ndim]) or len(header) != 4 + 4 * ndim:
                raise DataError(f"not an IDX file of {ndim} dimensions of bytes")
            shape = tuple(np.frombuffer(header, ">u4", ndim, 4).tolist())
            data = file.read()
    except DataError as error:
        message = str(error).removeprefix(f"{path}: ")
        raise DataError(f"{path}: {message}") from None
    except Exception as error:  # errors of gzip and zlib
        raise DataError(f"{path}: truncated or damaged ({error})") from None
    if len(data) != math.prod(shape):
        raise DataError(f"{path}: {len(data)} bytes of data for shape {shape}")
    return np.frombuffer(data, np.uint8).reshape(shape)


def idx(entry: Entry, x_train: Path, y_train: Path, x_test: Path, y_test: Path) -> Split:
    """MNIST's format: one file for the images and one for the labels of each part."""
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
    from scipy.io import loadmat, whosmat

    try:
        untrusted.regular(path)
        sizes = [math.prod(shape) for name, shape, _ in whosmat(path) if name in ("X", "y")]
        if sum(sizes) > untrusted.LIMIT:
            raise ValueError(f"it claims arrays of {sum(sizes):,} numbers")
        content = loadmat(path, variable_names=["X", "y"])
    except Exception as error:  # a damaged file can make scipy raise a dozen kinds of error
        reason = str(error).removeprefix(f"{path}: ")
        raise DataError(f"{path}: not a whole .mat file ({reason})") from None
    missing = [name for name in ("X", "y") if name not in content]
    if missing:
        raise DataError(f"{path}: lacks the array {' and '.join(missing)}")
    x, y = content["X"], content["y"]
    if x.ndim != 4:
        raise DataError(f"{path}: X has {x.ndim} dimensions, expected 32 x 32 x 3 x samples")
    # Labels are 1 to 10, and 10 is the digit 0.
    return _colour(path, x.transpose(3, 0, 1, 2), y, "X"), (labels(y, 1, entry, path) + 1) % 10


def svhn(entry: Entry, train: Path, test: Path) -> Split:
    """SVHN's cropped digits, from upstream's two .mat files; the `extra` part is not used."""
    return *_mat(train, entry), *_mat(test, entry)


def svhn_npz(entry: Entry, path: Path) -> Split:
    """10,000 images of SVHN in one .npz, split with a fixed seed."""
    x, y = untrusted.npz(path, "x", "y")
    return stratified(_colour(path, x, y, "x"), labels(y, 0, entry, path), entry, path)


def cifar10(entry: Entry, path: Path) -> Split:
    """CIFAR-10's binary archive: records of one label byte and 3 x 32 x 32 bytes in six files."""
    parts = {"train": [f"data_batch_{i}.bin" for i in range(1, 6)], "test": ["test_batch.bin"]}
    sizes = {"train": entry.train // 5, "test": entry.test}
    out = []
    contents = untrusted.members(path, "tar", r"data_batch_\d\.bin|test_batch\.bin")
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
        out.append((np.concatenate(x), np.concatenate(y)))
    return *out[0], *out[1]


def cifar10_jpeg(entry: Entry, path: Path) -> Split:
    """CIFAR-10 as JPEG files `train/<class>/NNNN.jpg`, equally many in each class; a lossy copy."""
    sizes = {"train": entry.train // entry.classes, "test": entry.test // entry.classes}
    found: dict[tuple[str, str], dict[int, np.ndarray]] = {(p, name): {} for p in sizes for name in CIFAR10}
    for member, content in untrusted.members(path, "tar", r"(?:train|test)/\w+/\d+\.jpg").items():
        part, name, number = member.removesuffix(".jpg").split("/")
        if (part, name) in found:
            image = _pixels(content, f"{path}: {member}", "RGB", (32, 32))
            found[part, name][int(number)] = image.transpose(2, 0, 1)
    for (part, name), images in found.items():
        if len(images) != sizes[part]:
            raise DataError(f"{path}: {part}/{name} has {len(images)} images, expected {sizes[part]}")
    out = []
    for part, size in sizes.items():
        x = np.stack([found[part, name][i] for name in CIFAR10 for i in sorted(found[part, name])])
        y = np.repeat(np.arange(len(CIFAR10)), size)
        order = rng(f"order/{part}").permutation(len(x))  # the files are sorted by class
        out.append((x[order], y[order]))
    return *out[0], *out[1]


def coil20(entry: Entry, path: Path) -> Split:
    """COIL-20's 72 views of each of 20 objects, resized to 20 x 20 (bicubic), split with a fixed seed."""
    return _coil20(entry, path, "BICUBIC")


def coil20_nearest(entry: Entry, path: Path) -> Split:
    """The same, resized as in the public code: its Pillow took the nearest pixel by default."""
    return _coil20(entry, path, "NEAREST")


def _coil20(entry: Entry, path: Path, resampling: str) -> Split:
    from PIL import Image

    views = coil20_views(entry, path)
    method = Image.Resampling[resampling]
    x = np.stack([np.asarray(Image.fromarray(view).resize((20, 20), method)) for view in views])
    y = np.repeat(np.arange(entry.classes), len(views) // entry.classes)
    return stratified(x[:, None], y.astype(np.int64), entry, path)


def coil20_views(entry: Entry, path: Path) -> np.ndarray:
    """COIL-20's unchanged views, uint8 (N, 128, 128), object by object."""
    images = untrusted.members(path, "zip", r"obj\d+__\d+\.png")
    views = []
    for label in range(entry.classes):
        for view in range((entry.train + entry.test) // entry.classes):
            name = f"obj{label + 1}__{view}.png"
            if name not in images:
                raise DataError(f"{path}: lacks the image {name}")
            views.append(_pixels(images[name], f"{path}: {name}", "L", (128, 128)))
    return np.stack(views)


def _pixels(content: bytes, source: str, mode: str, size: tuple[int, int]) -> np.ndarray:
    """One image of the given mode and size (width, height)."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content)) as image:
            if image.size != size:  # before a pixel is decoded
                raise DataError(f"{image.size[0]} x {image.size[1]} pixels, expected {size}")
            return np.asarray(image.convert(mode))
    except DataError as error:
        raise DataError(f"{source}: {error}") from None
    except Exception as error:  # a damaged image can make Pillow raise a dozen kinds of error
        raise DataError(f"{source}: not a whole image ({error})") from None
