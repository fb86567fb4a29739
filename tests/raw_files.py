"""Small files of the published formats, for the tests of the readers."""

import io
import tarfile
import zipfile

import numpy as np
import scipy.io

from uae.data import catalogue

RNG = np.random.default_rng(0)


def entry(name, train, test):
    """The catalogue's entry of a data set, with fewer samples."""
    return catalogue.entries()[name].model_copy(update={"train": train, "test": test})


def svhn_mat(path, n, **change):
    x = RNG.integers(0, 256, (32, 32, 3, n), dtype=np.uint8)
    y = (np.arange(n, dtype=np.uint8) % 10 + 1)[:, None]  # 1 to 10
    content = {"X": x, "y": y} | change
    scipy.io.savemat(path, {key: value for key, value in content.items() if value is not None})
    return x, y


def tar_of(path, contents):
    with tarfile.open(path, "w:gz") as tar:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def zip_of(path, contents):
    with zipfile.ZipFile(path, "w") as file:
        for name, content in contents.items():
            file.writestr(name, content)
    return path
