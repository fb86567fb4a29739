"""The readers of tables, on small files of the published formats; damaged files are named with their rows."""

import io
import subprocess

import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import MinMaxScaler

from tests.raw_files import entry, zip_of
from uae.data import readers
from uae.data.readers import tables
from uae.errors import DataError

RNG = np.random.default_rng(0)


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


def test_mice_protein_as_published(tmp_path):
    """The public reader's slip: a gap's mean has the filler in it, and the next gap's mean has that mean."""
    table = mice()
    table.to_csv(tmp_path / "m.csv", index=False)
    split = readers.mice_protein_as_published(entry("mice-protein-as-published", 64, 16), tmp_path / "m.csv")
    filled = table[PROTEINS].fillna(-100_000)
    for protein in PROTEINS:
        for _, rows in table.groupby("class").groups.items():
            for row in rows:
                if filled.loc[row, protein] == -100_000:
                    filled.loc[row, protein] = sum(filled.loc[rows, protein]) / len(rows)
    expected = MinMaxScaler().fit_transform(filled)
    x, y = np.concatenate(split[::2]), np.concatenate(split[1::2])
    rows = [np.abs(expected - row).max(axis=1).argmin() for row in x]
    assert sorted(rows) == list(range(80)) and [tables.MICE[label] for label in y] == list(
        table["class"][rows]
    )
    np.testing.assert_allclose(x, expected[rows], atol=1e-6)
    right = readers.mice_protein(entry("mice-protein", 64, 16), tmp_path / "m.csv")
    np.testing.assert_array_equal(right[1], split[1])  # the same division
    # Of two gaps in a class of four with 3 and 5, the mean is 4; with the slip -49,998 and -37,497.5.
    values = np.array([3, np.nan, 5, np.nan])
    gaps = pd.DataFrame(
        {name: np.tile(values, 8) for name in PROTEINS} | {"class": np.repeat(tables.MICE, 4)}
    )
    gaps.to_csv(tmp_path / "m.csv", index=False)
    x = np.unique(readers.mice_protein_as_published(entry("mice-protein", 16, 16), tmp_path / "m.csv")[0])
    np.testing.assert_allclose(x, (np.array([-49_998, -37_497.5, 3, 5]) + 49_998) / 50_003, atol=1e-7)


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


def test_compressed_writes_a_z_file():
    """gzip, which reads the format, gives back what went in: also across the codes that reset."""
    content = bytes(RNG.integers(0, 256, 5000, dtype=np.uint8))
    unpacked = subprocess.run(["gzip", "-dc"], input=compressed(content), capture_output=True)
    assert unpacked.stdout == content
