"""Files from outside that are damaged, lie, or unpack to more than they should.

Each ends in one line that names the file (and the member), and takes little time and memory.
"""

import gzip
import io
import lzma
import os
import struct
import subprocess
import sys
import tarfile
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
from PIL import Image
from safetensors.torch import save, save_file
from typer.testing import CliRunner

from tests.raw_files import entry
from tests.unit.data.test_readers_tables import activity_files, compressed, isolet_table, isolet_text, mice
from uae.cli import app
from uae.data import fetch, prepared, readers, untrusted
from uae.errors import DataError, InputError
from uae.stages import own

SMALL = 2**22  # the limit in these tests, so that a bomb is made quickly
X = np.random.default_rng(0).random((4, 1, 5, 5), "float32")


@pytest.fixture(autouse=True)
def small(monkeypatch, tmp_path):
    monkeypatch.setattr(untrusted, "LIMIT", SMALL)
    monkeypatch.chdir(tmp_path)


def npy(array=X, **change):
    """A .npy file with another header than its array's: shape, descr or fortran_order."""
    file = io.BytesIO()
    header = np.lib.format.header_data_from_array_1_0(array) | change
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue() + array.tobytes()


def npy_text(header, version=b"\1\0"):
    text = header.encode()
    return b"\x93NUMPY" + version + struct.pack("<H" if version == b"\1\0" else "<I", len(text)) + text


def npz(contents, method=zipfile.ZIP_DEFLATED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return file.getvalue()


def patched(content, what, offset, value):
    """An archive of one file with a field of its local and central headers changed."""
    out = bytearray(content)
    for signature, start in [(b"PK\3\4", 0), (b"PK\1\2", 2)]:
        where = out.index(signature) + start + offset
        out[where : where + len(value)] = value
    return bytes(out)


def encrypted(content):
    return patched(content, "flag", 6, b"\1\0")


def method(content, number):
    return patched(content, "method", 8, struct.pack("<H", number))


def size(content, number):
    return patched(content, "size", 22, struct.pack("<I", number))


def safetensor(header, data=b""):
    text = header.encode() if isinstance(header, str) else header
    return struct.pack("<Q", len(text)) + text + data


def saved(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


BOMB = npy(np.zeros(2**23, np.uint8).reshape(2, -1))
ARRAYS = {
    "shape.npy": (npy(shape=(10**6, 10**6)), "claims 4,000,000,000,000 bytes"),
    "overflow.npy": (npy(shape=(2**40, 2**40)), "claims"),
    "negative.npy": (npy_text("{'descr': '<f4', 'fortran_order': False, 'shape': (-4, 25)}"), "claims shape"),
    "small.npy": (npy(shape=(2, 25)), "claims 200 bytes of numbers .* there are 400"),
    "cut.npy": (npy()[:-30], "claims 400 bytes .* there are 370"),
    "header.npy": (npy()[:40], "not an array in NumPy's format"),
    "magic.npy": (b"\x93NUMPY", "not an array in NumPy's format"),
    "version.npy": (npy_text("{}", b"\7\0"), "not an array in NumPy's format"),
    "long.npy": (b"\x93NUMPY\2\0\xff\xff\xff\xff" + b" " * 99, "not an array in NumPy's format"),
    "nested.npy": (npy_text("(" * 9_000), "not an array in NumPy's format"),
    "code.npy": (npy_text("__import__('os').system('touch X')"), "not an array in NumPy's format"),
    "key.npy": (npy_text("{'descr': '<f4'}"), "not an array in NumPy's format"),
    "boolean.npy": (npy_text("{'descr': '<f4', 'fortran_order': False, 'shape': (True, 0)}"), "shape"),
    "html.npy": (b"<html>", "not an array in NumPy's format"),
    "pickle.npy": (saved(np.array([{"a": 1}, None], object)), "Python objects, a pickle"),
    "text.npy": (saved(np.array(["a", "b"])), r"numpy\.str_"),
    "record.npy": (saved(np.zeros((2, 3), "f4,i4")), r"numpy\.void"),
    "date.npy": (saved(np.zeros((2, 3), "M8[s]")), r"numpy\.datetime64"),
    "complex.npy": (saved(X.astype(complex)), "complex"),
    "scalar.npy": (saved(np.float32(1)), r"of shape \(\)"),
    "row.npy": (saved(np.zeros(3)), r"of shape \(3,\)"),
    "none.npy": (saved(np.zeros((0, 1, 5, 5))), r"of shape \(0, 1, 5, 5\)"),
    "no-pixels.npy": (saved(np.zeros((3, 1, 0, 5))), r"of shape \(3, 1, 0, 5\)"),
    "empty.npy": (b"", "the file is empty"),
    "empty.npz": (b"", "the file is empty"),
    "empty.safetensors": (b"", "the file is empty"),
    "other.npz": (npz({"images.npy": npy()}), "lacks x; it has images"),
    "nothing.npz": (npz({}), "lacks x; it has nothing"),
    "no-array.npz": (npz({"x.npy": b"no"}), "x: not an array in NumPy's format"),
    "shape.npz": (npz({"x.npy": npy(shape=(10**9, 10**9))}), "x: the header claims"),
    "object.npz": (npz({"x.npy": saved(np.array([{}], object))}), "x: holds Python objects"),
    "cut.npz": (npz({"x.npy": npy()})[:-30], "not a whole .npz file"),
    "encrypted.npz": (encrypted(npz({"x.npy": npy()})), "x.npy is encrypted"),
    "method.npz": (method(npz({"x.npy": npy()}), 99), "x.npy is compressed by method 99"),
    "lzma.npz": (npz({"x.npy": npy()}, zipfile.ZIP_LZMA), "x.npy is compressed by method 14"),
    "bomb.npz": (npz({"x.npy": BOMB}), "'x.npy' unpacks to 8,388,736 bytes"),
    "lying-bomb.npz": (size(npz({"x.npy": BOMB}), 500), "x.npy: Bad CRC-32"),
    "claim.npz": (size(npz({"x.npy": npy()}), 2**32 - 2), "unpacks to 4,294,967,294 bytes"),
    "flipped.npz": (npz({"x.npy": npy()}, zipfile.ZIP_STORED).replace(npy()[200:210], b"0123456789"), "CRC"),
    "dots.npz": (npz({"../x.npy": npy()}), "leads out of the archive"),
    "html.npz": (b"<!DOCTYPE html>", "not a whole .npz file"),
    "header.safetensors": (struct.pack("<Q", 2**60) + b"{}", "not a whole safetensors file"),
    "json.safetensors": (safetensor("{no"), "not a whole safetensors file"),
    "utf8.safetensors": (safetensor(b"\xff\xff"), "not a whole safetensors file"),
    "offsets.safetensors": (
        safetensor('{"x":{"dtype":"F32","shape":[2,2],"data_offsets":[0,99999999999]}}', b"\0" * 16),
        "not a whole safetensors file",
    ),
    "shape.safetensors": (
        safetensor('{"x":{"dtype":"F32","shape":[999999,999999],"data_offsets":[0,16]}}', b"\0" * 16),
        "not a whole safetensors file",
    ),
    "dtype.safetensors": (
        safetensor('{"x":{"dtype":"Q7","shape":[2,2],"data_offsets":[0,16]}}', b"\0" * 16),
        "not a whole safetensors file",
    ),
    "cut.safetensors": (save({"x": torch.tensor(X)})[:-9], "not a whole safetensors file"),
    "other.safetensors": (save({"images": torch.tensor(X)}), "lacks x; it has images"),
    "complex.safetensors": (save({"x": torch.zeros(2, 3, dtype=torch.complex64)}), "complex"),
    "html.safetensors": (b"<!DOCTYPE html><html><body>Not found</body></html>", "not a whole safetensors"),
    **{
        f"x{suffix}": (b"1,2\n", r"the suffix .* is none of \.npy, \.npz, \.safetensors")
        for suffix in (".mat", ".csv", ".pt", ".pkl", ".h5", ".zip", ".npy.gz", "")
    },
}


def refuses(call, name, message):
    with pytest.raises(InputError, match=message) as caught:
        call()
    text = str(caught.value)
    assert name in text and "\n" not in text and len(text) < 500, text


@pytest.mark.parametrize("name", ARRAYS)
def test_an_array_of_a_user(name):
    content, message = ARRAYS[name]
    Path(name).write_bytes(content)
    refuses(lambda: own.load_images(Path(name)), name, message)
    assert not Path("X").exists()


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        ("folder.npy", Path.mkdir, "a folder, not a file"),
        ("pipe.npz", os.mkfifo, "a pipe or device, not a file"),
        ("pipe.safetensors", os.mkfifo, "a pipe or device, not a file"),
        ("absent.npy", lambda path: None, "no such file"),
        ("dangling.npy", lambda path: path.symlink_to("nowhere"), "no such file"),
        ("around.npy", lambda path: path.symlink_to(path.name), "too many levels"),
        ("a" * 300 + ".npy", lambda path: None, "file name too long"),
    ],
)
def test_what_is_no_file(name, make, message):
    make(Path(name))
    refuses(lambda: own.load_images(Path(name)), name, message)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.array([True, False]), "bool"),
        (np.array([0.0, 1.0]), "float64"),
        (np.array([[0], [1]]), r"of shape \(2, 1\)"),
        (np.int64(3), r"of shape \(\)"),
        (np.array([0, -1]), "has -1 in row 1"),
        (np.array([1, 2**63], np.uint64), "has 9223372036854775808 in row 1"),
        (np.array([0j, 1]), "complex"),
    ],
)
def test_labels_that_are_none(values, message):
    np.savez("d.npz", y=values)
    refuses(lambda: own.load_labels(Path("d.npz")), "d.npz", message)


def test_samples_without_labels_are_not_named_labels():
    """`--data` names the file of both, and a .npy has no names."""
    np.save("d.npy", X)
    refuses(
        lambda: own.load_labels(Path("d.npy")), "d.npy", r"has one array, float32 .* \.npz with samples x"
    )


@pytest.mark.parametrize(
    "values",
    [
        X.astype(np.float64),
        X.astype(np.float16),
        X.astype(">f4"),
        X.astype(np.longdouble),
        np.asfortranarray(X),
        X[::-1],
        X > 0.5,
        (X * 255).astype(np.uint8),
        (X * 255).astype(np.int16),
        (X * 255).astype(">u2"),
    ],
    ids=lambda values: f"{values.dtype.str}{'F' * values.flags.f_contiguous}",
)
def test_numbers_of_every_type_and_order_are_read(values):
    expected = values.astype(np.float32) / (255 if values.dtype == np.uint8 else 1)
    Path("A.NPY").write_bytes(saved(values))
    np.savez("stored.npz", x=values)
    np.savez_compressed("packed.NpZ", x=values)
    Path("stored.npz").rename("B.NPZ")
    for name in ("A.NPY", "B.NPZ", "packed.NpZ.npz"):
        found = own.load_images(Path(name))
        assert found.dtype == torch.float32 and found.shape == X.shape
        np.testing.assert_array_equal(found.numpy(), expected)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64", "float8_e4m3fn", "float8_e5m2", "bool"])
def test_types_that_numpy_lacks_and_foreign_metadata_are_read(dtype):
    values = torch.tensor(X).round().to(getattr(torch, dtype))
    for metadata in ({"metadata": "images of mine"}, {"metadata": "[1, 2]"}, {"checksum": "no"}, None):
        save_file({"x": values, "y": torch.arange(4)}, "a.SafeTensors", metadata=metadata)
        np.testing.assert_array_equal(own.load_images(Path("a.SafeTensors")).numpy(), X.round())
        assert own.load_labels(Path("a.SafeTensors")).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.safetensors"])
def test_bytes_of_a_binarised_data_set_are_refused(name):
    """Divided by 255, its white was 0.004."""
    binary = X.round().astype(np.uint8)
    for values in (binary, binary.astype(np.float32), binary.astype(bool), binary * 255, binary * 0):
        if name == "a.npy":
            np.save(name, values)
        else:
            np.savez(name, x=values) if name == "a.npz" else save_file({"x": torch.tensor(values)}, name)
        if values is binary:
            with pytest.raises(InputError, match=rf"{name}: 'x' holds the bytes 0 and 1 only.*float32"):
                own.load_images(Path(name))
        else:
            np.testing.assert_array_equal(own.load_images(Path(name)).numpy(), values.astype(bool))


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", ">i4", "uint64"])
def test_labels_of_every_type_of_integers_are_read(dtype):
    np.save("y.npy", np.arange(4).astype(dtype))
    assert own.load_labels(Path("y.npy")).tolist() == [0, 1, 2, 3]


# --- raw files


TYPES = (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE)


def tar(members, mode="w:gz"):
    """members: the content of a file by its name, or a type of those that are none."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            if content[:1] not in TYPES:
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
            else:
                info.type, info.linkname = content, "/etc/passwd"
                archive.addfile(info)
    return file.getvalue()


def tar_claiming(size):
    info = tarfile.TarInfo("data_batch_1.bin")
    info.size = size
    return gzip.compress(info.tobuf())


def pax_claiming(size):
    """An extended header of so many bytes: tarfile reads it at once."""
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, size
    return gzip.compress(info.tobuf() + b"\0" * SMALL * 2)


def idx(shape, data, code=8):
    return bytes([0, 0, code, len(shape)]) + b"".join(struct.pack(">I", n) for n in shape) + data


def png(width, height, data=b""):
    def chunk(kind, content):
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(data))
        + chunk(b"IEND", b"")
    )


def image(kind, shape=(32, 32, 3)):
    file = io.BytesIO()
    Image.fromarray(np.zeros(shape, np.uint8)).save(file, kind)
    return file.getvalue()


def link_in_zip():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        info = zipfile.ZipInfo("coil-20-proc/obj1__0.png")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    return file.getvalue()


def mat(**arrays):
    file = io.BytesIO()
    scipy.io.savemat(file, arrays, do_compression=True)
    return file.getvalue()


VIEW = "coil-20-proc/obj1__0.png"
Y = np.ones((12, 1), np.uint8)
LETTERS = isolet_text(*isolet_table(1))
MICE = mice().to_csv(index=False)
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


# --- readers of tables agree


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


ACTIVITY = activity_files()


# --- through the commands


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


def test_the_attack_names_the_file():
    for name in ("shape.npy", "encrypted.npz", "offsets.safetensors", "x.pt"):
        Path(name).write_bytes(ARRAYS[name][0])
        command = ["attack", "--model", "m:f", "--data", name, "--out", "o.safetensors"]
        error = CliRunner().invoke(app, command).exception
        refuses(lambda error=error: (_ for _ in ()).throw(error), f"--data {name}", ARRAYS[name][1])


@pytest.mark.parametrize(
    "text", ["https://me:s3cret@host/a b: x", "ftp://s3cret@host", "a http://me:s3@cret@h/x"]
)
def test_an_address_is_repeated_without_its_secret(text):
    assert "cret" not in fetch.without_secrets(text) and "://h" in fetch.without_secrets(text)


def test_a_mirror_s_secret_is_in_no_message_and_no_log(caplog, capfd, monkeypatch):
    monkeypatch.setattr(fetch, "RETRIES", 0)
    with pytest.raises(DataError) as caught:
        fetch.fetch("isolet-npz", "isolet.npz", Path("o"), "http://me:s3cret@127.0.0.1:9/mirror")
    said = str(caught.value) + caplog.text + "".join(capfd.readouterr())
    assert (
        "http://127.0.0.1:9/mirror/isolet/isolet.npz" in said and "s3cret" not in said and "me:" not in said
    )
