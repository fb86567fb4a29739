"""The readers of images, on small files of the published formats; damaged files are named with the image."""

import io

import numpy as np
import pytest
from PIL import Image

from tests.raw_files import entry, svhn_mat, tar_of, zip_of
from uae.data import catalogue, readers
from uae.data.readers import images
from uae.errors import DataError

RNG = np.random.default_rng(0)


# --- SVHN


def test_svhn(tmp_path):
    x, y = svhn_mat(tmp_path / "train.mat", 23)
    svhn_mat(tmp_path / "test.mat", 10)
    found = readers.svhn(entry("svhn", 23, 10), tmp_path / "train.mat", tmp_path / "test.mat")
    assert found[0].shape == (23, 3, 32, 32) and found[0].dtype == np.uint8
    np.testing.assert_array_equal(found[0][7, 2], x[:, :, 2, 7])
    # 23 labels from 1 on in turn: three each of 1, 2, 3, two of the others; 10 is the digit 0.
    assert np.bincount(found[1]).tolist() == [2, 3, 3, 3, 2, 2, 2, 2, 2, 2]
    assert found[1][9] == 0 and y[9] == 10 and found[3].dtype == np.int64


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y": None}, "lacks the array y"),
        ({"X": None, "y": None}, "lacks the array X and y"),
        ({"X": np.zeros((28, 28, 12), np.uint8)}, "X has 3 dimensions"),
        ({"X": np.zeros((28, 28, 3, 12), np.uint8)}, r"not uint8 \(32, 32, 3\)"),
        ({"X": np.zeros((32, 32, 3, 11), np.uint8)}, "11 images in X, 12 labels"),
        ({"y": np.full((12, 1), 11)}, "label 11 in row 1, allowed are 1 to 10"),
    ],
)
def test_a_mat_file_without_the_expected_arrays(tmp_path, change, message):
    svhn_mat(tmp_path / "train.mat", 12, **change)
    with pytest.raises(DataError, match=rf"train\.mat: .*{message}"):
        readers.svhn(entry("svhn", 12, 12), tmp_path / "train.mat", tmp_path / "train.mat")


@pytest.mark.parametrize("damage", [lambda b: b[:400], lambda b: b"<html>Not Found</html>", lambda b: b""])
def test_a_damaged_mat_file(tmp_path, damage):
    path = tmp_path / "train.mat"
    svhn_mat(path, 12)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=r"train\.mat: not a whole \.mat file"):
        readers.svhn(entry("svhn", 12, 12), path, path)


def test_svhn_10k(tmp_path):
    x = RNG.integers(0, 256, (50, 32, 32, 3), dtype=np.uint8)
    y = np.arange(50, dtype=np.uint8) % 10
    np.savez(tmp_path / "s.npz", x=x, y=y)
    x_train, y_train, x_test, y_test = readers.svhn_npz(entry("svhn-10k", 40, 10), tmp_path / "s.npz")
    assert np.bincount(y_train).tolist() == [4] * 10 and np.bincount(y_test).tolist() == [1] * 10
    split = np.concatenate([x_train, x_test]).transpose(0, 2, 3, 1)
    rows = [np.flatnonzero((x == image).all((1, 2, 3)))[0] for image in split]
    assert sorted(rows) == list(range(50))
    np.testing.assert_array_equal(np.concatenate([y_train, y_test]), y[rows])

    with pytest.raises(DataError, match=r"s\.npz: 50 samples, expected 51"):
        readers.svhn_npz(entry("svhn-10k", 41, 10), tmp_path / "s.npz")
    np.savez(tmp_path / "s.npz", x=x, y=np.r_[np.zeros(49, int), 1])
    with pytest.raises(DataError, match=r"s\.npz: class 1 has one sample"):
        readers.svhn_npz(entry("svhn-10k", 40, 10), tmp_path / "s.npz")
    np.savez(tmp_path / "s.npz", images=x)
    with pytest.raises(DataError, match=r"s\.npz: lacks x, y; it has images"):
        readers.svhn_npz(entry("svhn-10k", 40, 10), tmp_path / "s.npz")
    (tmp_path / "s.npz").write_bytes(b"PK\3\4 no")
    with pytest.raises(DataError, match=r"s\.npz: not a whole \.npz file"):
        readers.svhn_npz(entry("svhn-10k", 40, 10), tmp_path / "s.npz")


def test_a_pickle_in_an_npz_is_not_loaded(tmp_path):
    np.savez(tmp_path / "s.npz", x=np.array([{"a": 1}], dtype=object), y=np.zeros(1))
    with pytest.raises(DataError, match=r"s\.npz: not a whole"):
        readers.svhn_npz(entry("svhn-10k", 40, 10), tmp_path / "s.npz")


# --- CIFAR-10


def cifar_records(n):
    records = RNG.integers(0, 256, (n, 3073), dtype=np.uint8)
    records[:, 0] = np.arange(n) % 10
    return records


def cifar_files():
    names = [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]
    contents = {f"cifar-10-batches-bin/{name}": cifar_records(10) for name in names}
    return contents, {name: records.tobytes() for name, records in contents.items()}


def test_cifar10_binary(tmp_path):
    records, contents = cifar_files()
    path = tar_of(tmp_path / "c.tar.gz", contents | {"cifar-10-batches-bin/batches.meta.txt": b"airplane\n"})
    x_train, y_train, x_test, y_test = readers.cifar10(entry("cifar10", 50, 10), path)
    assert x_train.shape == (50, 3, 32, 32) and x_test.shape == (10, 3, 32, 32)
    record = records["cifar-10-batches-bin/data_batch_2.bin"][3]  # label, then the red plane row by row
    assert y_train[13] == record[0] and x_train[13, 0, 0, 1] == record[2]
    assert x_train[13, 1, 2, 3] == record[1 + 1024 + 2 * 32 + 3]
    assert np.bincount(y_train).tolist() == [5] * 10 and np.bincount(y_test).tolist() == [1] * 10


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data_batch_3.bin": None}, "lacks data_batch_3.bin"),
        ({"test_batch.bin": b"\0" * 3073 * 9}, "test_batch.bin has 27657 bytes, not 10 x 3073"),
        ({"data_batch_1.bin": b"\x0a" * 3073 * 10}, "data_batch_1.bin: label 10 in row 1"),
    ],
)
def test_a_cifar10_archive_that_is_not_complete(tmp_path, change, message):
    contents = cifar_files()[1] | {f"cifar-10-batches-bin/{name}": value for name, value in change.items()}
    path = tar_of(tmp_path / "c.tar.gz", {name: value for name, value in contents.items() if value})
    with pytest.raises(DataError, match=rf"c\.tar\.gz: {message}"):
        readers.cifar10(entry("cifar10", 50, 10), path)


def encoded(image, kind):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, kind)
    return buffer.getvalue()


def jpegs():
    """Three training images and one test image of each class, in one colour that tells which."""
    out = {}
    for label, name in enumerate(images.CIFAR10):
        for part, n in [("train", 3), ("test", 1)]:
            for i in range(n):
                colour = np.full((32, 32, 3), (20 * label, 60 * i, 250), np.uint8)
                out[f"{part}/{name}/{i:04}.jpg"] = encoded(colour, "jpeg")
    return out


def test_cifar10_jpeg(tmp_path):
    path = tar_of(tmp_path / "c.tar.gz", jpegs())
    x_train, y_train, x_test, y_test = readers.cifar10_jpeg(entry("cifar10-jpeg", 30, 10), path)
    assert x_train.shape == (30, 3, 32, 32) and x_test.shape == (10, 3, 32, 32)
    assert np.bincount(y_train).tolist() == [3] * 10 and np.bincount(y_test).tolist() == [1] * 10
    assert y_test.tolist() != sorted(y_test.tolist())  # so that the first test images are of all classes
    for x, y in [(x_train, y_train), (x_test, y_test)]:
        np.testing.assert_allclose(x[:, 0].mean((1, 2)), 20 * y, atol=4)
        np.testing.assert_allclose(x[:, 2].mean((1, 2)), 250, atol=4)


@pytest.mark.parametrize(
    ("drop", "message"),
    [
        ("train/horse/", "train/horse has 0 images, expected 3"),
        ("train/cat/0001.jpg", "train/cat has 2 images, expected 3"),
        ("test/truck/", "test/truck has 0 images, expected 1"),
    ],
)
def test_a_jpeg_archive_with_a_missing_class_or_image(tmp_path, drop, message):
    kept = {name: content for name, content in jpegs().items() if not name.startswith(drop)}
    with pytest.raises(DataError, match=rf"c\.tar\.gz: {message}"):
        readers.cifar10_jpeg(entry("cifar10-jpeg", 30, 10), tar_of(tmp_path / "c.tar.gz", kept))


def test_a_damaged_jpeg_archive(tmp_path):
    one = "train/cat/0001.jpg"
    path = tar_of(tmp_path / "c.tar.gz", jpegs() | {one: b"no image"})
    with pytest.raises(DataError, match=rf"c\.tar\.gz: {one}: not a whole image"):
        readers.cifar10_jpeg(entry("cifar10-jpeg", 30, 10), path)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(DataError, match=r"c\.tar\.gz: not a whole tar archive"):
        readers.cifar10_jpeg(entry("cifar10-jpeg", 30, 10), path)


# --- COIL-20


def coil(levels):
    """One-coloured views: object o, view v has the grey level 12 o + v mod 12."""
    return {
        f"coil-20-proc/obj{o}__{v}.png": encoded(np.full((128, 128), 12 * o + v % 12, np.uint8), "png")
        for o in range(1, 21)
        for v in range(levels)
    }


def test_coil20(tmp_path):
    path = zip_of(tmp_path / "coil.zip", coil(72))
    x_train, y_train, x_test, y_test = readers.coil20(catalogue.entries()["coil-20"], path)
    assert x_train.shape == (1152, 1, 20, 20) and x_test.shape == (288, 1, 20, 20)
    assert x_train.dtype == np.uint8
    assert (np.bincount(y_train) + np.bincount(y_test)).tolist() == [72] * 20
    assert set(np.bincount(y_test)) == {14, 15}  # 288 of 20 objects
    np.testing.assert_array_equal(x_train[:, 0, 10, 10] // 12 - 1, y_train)


def test_coil20_is_reduced_like_an_average(tmp_path):
    """A white left half: left and right of the edge the small image is white and black."""
    half = np.zeros((128, 128), np.uint8)
    half[:, :64] = 255
    names = coil(2)
    path = zip_of(tmp_path / "coil.zip", dict.fromkeys(names, encoded(half, "png")))
    x = readers.coil20(entry("coil-20", 20, 20), path)[0]
    assert (x[..., :8] == 255).all() and (x[..., 12:] == 0).all()
    assert abs(x.mean() - 127.5) < 2


@pytest.mark.parametrize(("name", "filter"), [("coil-20", "BICUBIC"), ("coil-20-nearest", "NEAREST")])
def test_coil20_is_resized_by_the_filter_in_its_name(tmp_path, name, filter):
    views = {key: RNG.integers(0, 256, (128, 128), dtype=np.uint8) for key in coil(2)}
    path = zip_of(tmp_path / "coil.zip", {key: encoded(view, "png") for key, view in views.items()})
    found = entry(name, 20, 20)
    x_train, _, x_test, _ = getattr(readers, found.reader)(found, path)
    resized = {
        np.asarray(Image.fromarray(view).resize((20, 20), getattr(Image, filter))).tobytes()
        for view in views.values()
    }
    assert {image.tobytes() for image in np.concatenate([x_train, x_test])} == resized and len(resized) == 40
    if (
        filter == "NEAREST"
    ):  # the centres of the small pixels, 3.2, 9.6, 16, ...; Pillow rounds the eighth, 48.0, down
        rows = ((np.arange(20) + 0.5) * 6.4).astype(int)
        rows[7] = 47
        assert {view[np.ix_(rows, rows)].tobytes() for view in views.values()} == resized


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"obj7__1.png": None}, "lacks the image obj7__1.png"),
        ({"obj3__0.png": b"no"}, "obj3__0.png: not a whole image"),
        ({"obj3__0.png": encoded(np.zeros((64, 128), np.uint8), "png")}, "obj3__0.png: 128 x 64 pixels"),
    ],
)
def test_a_coil_archive_with_a_missing_or_bad_image(tmp_path, change, message):
    contents = coil(2) | {f"coil-20-proc/{name}": value for name, value in change.items()}
    path = zip_of(tmp_path / "coil.zip", {name: value for name, value in contents.items() if value})
    with pytest.raises(DataError, match=rf"coil\.zip: {message}"):
        readers.coil20(entry("coil-20", 20, 20), path)
