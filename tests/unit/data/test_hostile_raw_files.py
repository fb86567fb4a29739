"""Raw files of data sets that are damaged, lie, or unpack to more than they should.

Each ends in one line that names the file (and the member), and takes little time and memory.
"""

import gzip
import lzma
import os
import struct
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.damaged_files import (
    SMALL,
    encrypted,
    idx,
    image,
    link_in_zip,
    mat,
    method,
    npy,
    npz,
    pax_claiming,
    png,
    refuses,
    size,
    tar,
    tar_claiming,
)
from tests.raw_files import entry
from tests.unit.data.test_hostile_arrays import ARRAYS
from tests.unit.data.test_readers_tables import activity_files, compressed, isolet_table, isolet_text, mice
from uae.cli import app
from uae.data import prepared, readers, untrusted
from uae.errors import DataError


@pytest.fixture(autouse=True)
def small(monkeypatch, tmp_path):
    monkeypatch.setattr(untrusted, "LIMIT", SMALL)
    monkeypatch.chdir(tmp_path)


VIEW = "coil-20-proc/obj1__0.png"
Y = np.ones((12, 1), np.uint8)
LETTERS = isolet_text(*isolet_table(1))
MICE = mice().to_csv(index=False)
ACTIVITY = activity_files()
JPEG = "train/airplane/0000.jpg"
JPEG_HUGE = image("jpeg").replace(struct.pack(">HH", 32, 32), struct.pack(">HH", 65_000, 65_000), 1)
ISOLET = "isolet1+2+3+4.data.Z"


def activity(**change):
    return npz(activity_files() | {f"dataset_uci/final_{name}.txt": text for name, text in change.items()})


def isolet(train, test=LETTERS):
    return npz({ISOLET: compressed(train.encode()), "isolet5.data.Z": compressed(test.encode())})


RAW = {
    # reader: {name: (content, message)}
    "idx": {
        "empty": (gzip.compress(b""), "not an IDX file of 3"),
        "no-gzip": (b"no", "truncated or damaged"),
        "html": (b"<html>", "truncated or damaged"),
        "cut-gzip": (gzip.compress(idx((500, 1, 1), os.urandom(500)))[:-200], "truncated or damaged"),
        "cut-header": (gzip.compress(idx((3, 2, 2), b"")[:9]), "not an IDX file"),
        "short": (gzip.compress(idx((3, 2, 2), b"\0" * 11)), "11 bytes of data for shape"),
        "long": (gzip.compress(idx((3, 2, 2), b"\0" * 13)), "13 bytes of data for shape"),
        "overflow": (gzip.compress(idx((2**31, 2**31, 4), b"")), "0 bytes of data for shape"),
        "type": (gzip.compress(idx((1, 1, 1), b"\0", code=13)), "not an IDX file"),
        "bomb": (gzip.compress(idx((2**13, 2**5, 2**5), b"\0" * 2**23)), "unpacks to more than 4,194,304"),
        "xz": (lzma.compress(idx((1, 1, 1), b"\0")), "truncated or damaged"),
    },
    "cifar10": {
        "empty": (gzip.compress(b""), "not a whole tar archive|lacks data_batch_1.bin"),
        "html": (b"<html>", "not a whole tar archive"),
        "cut-gzip": (tar({"data_batch_1.bin": os.urandom(9999)})[:-500], "not a whole tar archive"),
        "cut-tar": (tar({"data_batch_1.bin": b"\0" * 9999}, "w")[:3000], "truncated|not a whole tar"),
        "xz": (tar({"data_batch_1.bin": b"\0" * 99}, "w:xz")[:-9], "not a whole tar archive"),
        "link": (tar({"data_batch_1.bin": tarfile.SYMTYPE}), "'data_batch_1.bin' is a link"),
        "hard-link": (tar({"other": tarfile.LNKTYPE}), "'other' is a link"),
        "pipe": (tar({"data_batch_1.bin": tarfile.FIFOTYPE}), "'data_batch_1.bin' is a device or pipe"),
        "device": (tar({"data_batch_1.bin": tarfile.CHRTYPE}), "is a device or pipe"),
        "folder": (tar({"data_batch_1.bin": tarfile.DIRTYPE}), "lacks data_batch_1.bin"),
        "absolute": (tar({"/data_batch_1.bin": b"\0"}), "'/data_batch_1.bin' leads out"),
        "dots": (tar({"a/../../data_batch_1.bin": b"\0"}), "leads out of the archive"),
        "twice": (tar({"a/test_batch.bin": b"\0", "b/test_batch.bin": b"\1"}), "two files test_batch.bin"),
        "claim": (tar_claiming(2**33), "unpacks to 8,589,934,592 bytes"),
        "pax": (pax_claiming(2**32), "unpacks to more than 4,194,304"),
        "bomb": (tar({"other": b"\0" * 2**23}), "'other' unpacks to 8,388,608 bytes"),
        "many": (tar({f"{i}": b"\0" * 2**20 for i in range(9)}), "unpacks to more than 4,194,304"),
    },
    "cifar10_jpeg": {
        "huge": (tar({JPEG: JPEG_HUGE}), f"{JPEG}: .*pixels"),
        "no-image": (tar({JPEG: b"no"}), f"{JPEG}: not a whole image"),
        "cut": (tar({JPEG: image("jpeg")[:-300]}), f"{JPEG}: not a whole image"),
        "ppm": (
            tar({JPEG: b"P6 100000 100000 255\n"}),
            f"{JPEG}: .*100000|{JPEG}: not a whole image .*pixels",
        ),
        "png": (tar({JPEG: png(32, 32, b"\0" * 9)}), f"{JPEG}: not a whole image"),
    },
    "coil20": {
        "empty": (npz({}), "lacks the image obj1__0.png"),
        "html": (b"<html>", "not a whole zip archive"),
        "encrypted": (encrypted(npz({VIEW: b"\0"})), f"{VIEW} is encrypted"),
        "method": (method(npz({VIEW: b"\0"}), 97), f"{VIEW} is compressed by method 97"),
        "link": (link_in_zip(), f"'{VIEW}' is a link"),
        "absolute": (npz({"/obj1__0.png": b"\0"}), "'/obj1__0.png' leads out"),
        "dots": (npz({"../obj1__0.png": b"\0"}), r"'../obj1__0.png' leads out"),
        "drive": (npz({"C:/obj1__0.png": b"\0"}), "leads out of the archive"),
        "bomb": (npz({VIEW: b"\0" * 2**23}), f"'{VIEW}' unpacks to 8,388,608 bytes"),
        "many": (
            npz({f"obj1__{i}.png": bytes(2**20) for i in range(9)}),
            "unpacks to 1,048,576 bytes, at most",
        ),
        "lying": (size(npz({VIEW: bytes(2**23)}), 9), f"{VIEW}: Bad CRC-32"),
        "twice": (npz({"a/obj1__0.png": b"\0", "b/obj1__0.png": b"\1"}), "two files obj1__0.png"),
        "folder": (npz({"obj1__0.png/": b""}), "lacks the image obj1__0.png"),
        "huge": (npz({VIEW: png(100_000, 100_000)}), "obj1__0.png: .*(100000|pixels)"),
        "huge-ppm": (npz({VIEW: b"P5 100000 100000 255\n"}), "obj1__0.png: .*(100000|pixels)"),
        "short-image": (npz({VIEW: png(128, 128, b"\0" * 99)}), "obj1__0.png: not a whole image"),
        "other-size": (npz({VIEW: png(64, 128)}), "obj1__0.png: 64 x 128 pixels"),
    },
    "svhn": {
        "html": (b"<html>", "not a whole .mat file"),
        "cut": (mat(X=np.zeros((32, 32, 3, 12), np.uint8), y=Y)[:-60], "not a whole .mat file"),
        "bomb": (mat(X=np.zeros((32, 32, 3, 3000), np.uint8), y=Y), "claims arrays of 9,216,012 numbers"),
        "v7.3": (
            b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM" + b"\x89HDF\r\n\x1a\n",
            "not a whole .mat file",
        ),
        "cells": (mat(X=np.array([["a"]], object), y=Y), "X has 2 dimensions"),
        "labels": (mat(X=np.zeros((32, 32, 3, 12), np.uint8), y=Y * np.nan), "label nan in row 1"),
    },
    "isolet": {
        "nan": (
            isolet(LETTERS.replace(", 4.\n", ", NaN\n")),
            rf"{ISOLET.replace('+', '.')}, row 4, column 618",
        ),
        "range": (isolet("1.5," + LETTERS.partition(",")[2]), "1.5 in column 1; the features lie in"),
        "counts": (isolet(LETTERS + (LETTERS.splitlines()[0] + "\n") * 9), "a letter has 1 rows, another 10"),
        "letters": (isolet(LETTERS.replace(", 4.\n", ", 4.5\n")), "label 4.5 in row 4"),
        "bomb": (isolet("\n" * 2**21), "unpacks to more than 1,"),
        "no-lzw": (npz({ISOLET: b"no", "isolet5.data.Z": b"no"}), "can't be decompressed"),
        "encrypted": (encrypted(npz({ISOLET: b"no"})), "is encrypted"),
    },
    "isolet_npz": {
        "nan": (
            npz({f"{n}.npy": npy(np.full((26, 617), np.nan)) for n in ("x_train", "x_test")}),
            "lacks y_train",
        ),
        "html": (b"<html>", "not a whole .npz file"),
    },
    "activity": {
        "inf": (activity(X_test="inf" + ",1" * 560), "final_X_test.txt, row 1, column 1: 'inf'"),
        "hex": (activity(X_test="0x1" + ",1" * 560), "final_X_test.txt, row 1, column 1: '0x1'"),
        "underscore": (activity(X_test="1_0" + ",1" * 560), "row 1, column 1: '1_0' is not a number"),
        "bomb": (activity(X_test="\n" * 2**23), "unpacks to 8,388,608 bytes"),
        "binary": (activity(y_test=os.urandom(99).replace(b"\n", b"")), "final_y_test.txt, row 1"),
    },
    "mice_protein": {
        "html": (b"<html><body>Not found</body></html>", "lacks the columns DYRK1A_N"),
        "binary": (b"\x00\xff\xfe" * 99, "not a text in UTF-8"),
        "utf-16": (MICE.encode("utf-16"), "not a text in UTF-8"),
        "header": (MICE.splitlines()[0].encode(), "no rows"),
        "nan": (MICE.replace("\n1_1,", "\n1_1,nan", 1).encode(), "row 3, column DYRK1A_N: 'nan"),
        "field": (b'"' + b"a" * 200_000, "not a CSV table"),
        "large": (b"a" * (SMALL + 1), "4,194,305 bytes of text"),
    },
}
CASES = [(reader, name) for reader, cases in RAW.items() for name in cases]
ENTRIES = {
    "idx": ("mnist", 3, 3), "cifar10": ("cifar10", 5, 1), "cifar10_jpeg": ("cifar10-jpeg", 10, 10),
    "coil20": ("coil-20", 20, 20), "svhn": ("svhn", 12, 12), "isolet": ("isolet", 26, 26),
    "isolet_npz": ("isolet-npz", 26, 26), "activity": ("activity", 12, 6),
    "mice_protein": ("mice-protein", 64, 16),
}  # fmt: skip


@pytest.mark.parametrize(("reader", "name"), CASES, ids=["-".join(case) for case in CASES])
def test_a_raw_file(reader, name):
    content, message = RAW[reader][name]
    found = entry(*ENTRIES[reader])
    path = Path(f"{name}-{next(iter(found.files))}")
    path.write_bytes(content)
    refuses(lambda: getattr(readers, reader)(found, *[path] * len(found.files)), path.name, message)


def test_the_tables_have_at_least_a_hundred_cases():
    assert len(ARRAYS) + len(CASES) >= 100


def test_memory_stays_within_the_limit():
    """What these files of up to a megabyte claim or unpack to would not fit."""
    Path("f.gz").write_bytes(gzip.compress(bytes(2**20)) * 256)
    Path("f.tar").write_bytes(pax_claiming(2**32))
    Path("f.zip").write_bytes(size(npz({"obj1__0.png": bytes(2**20)}), 2**32 - 2))
    Path("claim.npy").write_bytes(npy(shape=(2**40, 2)))
    Path("claim.npz").write_bytes(size(npz({"x.npy": npy()}), 2**32 - 2))
    Path("lying.npz").write_bytes(size(npz({"x.npy": bytes(2**28)}), 500))
    code = """
import resource
from pathlib import Path
from uae.data import arrays, catalogue, readers, untrusted
untrusted.LIMIT = 2**24
entries = catalogue.entries()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for call in [
    lambda: readers.idx(entries["mnist"], *[Path("f.gz")] * 4),
    lambda: readers.cifar10(entries["cifar10"], Path("f.tar")),
    lambda: readers.coil20(entries["coil-20"], Path("f.zip")),
    *(lambda name=name: arrays.load_images(Path(name)) for name in ("claim.npy", "claim.npz", "lying.npz")),
]:
    try:
        call()
    except ValueError as error:
        print(error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *messages, grown = done.stdout.splitlines()
    names = [message.removeprefix("--data ").partition(":")[0] for message in messages]
    assert names == ["f.gz", "f.tar", "f.zip", "claim.npy", "claim.npz", "lying.npz"]
    assert int(grown) < 150  # MiB


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text + "\n",
        lambda text: text + "\r\n \r\n",
        lambda text: "\n\n" + text,
        lambda text: text.replace("\n", "\n\n", 9),
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n", "\r"),
        lambda text: "\ufeff" + text,
        lambda text: text.replace(",", " , "),
        lambda text: "\n".join(f"  {line}\t" for line in text.splitlines()),
        lambda text: text.rstrip("\n"),
    ],
    ids=["end", "ends", "start", "between", "crlf", "cr", "bom", "spaces", "indent", "no-end"],
)
def test_every_reader_of_tables_takes_blank_lines_line_ends_a_mark_and_spaces(change):
    texts = {
        "isolet": (ENTRIES["isolet"], lambda edit: npz({ISOLET: compressed(edit(LETTERS).encode()),
                                                       "isolet5.data.Z": compressed(LETTERS.encode())})),
        "activity": (ENTRIES["activity"], lambda edit: npz({n: edit(t) for n, t in ACTIVITY.items()})),
        "mice_protein": (ENTRIES["mice_protein"], lambda edit: edit(MICE).encode()),
        "mice_protein_as_published": (ENTRIES["mice_protein"], lambda edit: edit(MICE).encode()),
    }  # fmt: skip
    for reader, (sizes, make) in texts.items():
        results = []
        for edit in (str, change):
            Path("table").write_bytes(make(edit))
            results.append(getattr(readers, reader)(entry(*sizes), Path("table")))
        for plain, edited in zip(*results, strict=True):
            np.testing.assert_array_equal(plain, edited)


def test_prepare_names_the_file_and_keeps_what_was_there(monkeypatch):
    raw, out = Path("raw/mice-protein"), Path("p.safetensors")
    raw.mkdir(parents=True)
    out.write_bytes(b"earlier")
    for content, message in [
        (b"<!DOCTYPE html>\n<html>", "a page of HTML or XML, not the published file"),
        (MICE.encode(), "SHA-256 of the content is .*: not the published data"),
        (b"", "the file is empty"),
        (MICE.replace("c-CS-m", "cs").encode(), "row 2, column class: 'cs' is not one of"),
    ]:
        (raw / "data.csv").write_bytes(content)
        error = (
            CliRunner().invoke(app, ["prepare", "mice-protein", "--out", str(out), "--raw", "raw"]).exception
        )
        assert isinstance(error, DataError)
        refuses(lambda error=error: (_ for _ in ()).throw(error), "raw/mice-protein/data.csv", message)
        assert out.read_bytes() == b"earlier"
    for name in ("isolet", "coil-20", "activity"):
        (file,) = entry(name, 1, 1).files
        Path("raw", name).mkdir()
        for content, message in [(b" <HTML>", "a page of HTML"), (b"\x1f\x8b", "not a zip archive")]:
            Path("raw", name, file).write_bytes(content)
            refuses(lambda name=name: prepared.prepare(name, Path("raw", name), out), file, message)
        Path("raw", name, file).unlink()
        os.mkfifo(Path("raw", name, file))
        refuses(lambda name=name: prepared.prepare(name, Path("raw", name), out), file, "a pipe or device")
