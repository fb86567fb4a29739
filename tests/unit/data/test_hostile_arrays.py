"""A user's array files that are damaged, lie, or unpack to more than they should.

Each ends in one line that names the file (and the member), and takes little time and memory.
"""

import os
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save, save_file
from typer.testing import CliRunner

from tests.damaged_files import (
    SMALL,
    X,
    encrypted,
    method,
    npy,
    npy_text,
    npz,
    refuses,
    safetensor,
    saved,
    size,
)
from uae.cli import app
from uae.data import arrays, untrusted
from uae.errors import InputError


@pytest.fixture(autouse=True)
def small(monkeypatch, tmp_path):
    monkeypatch.setattr(untrusted, "LIMIT", SMALL)
    monkeypatch.chdir(tmp_path)


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


@pytest.mark.parametrize("name", ARRAYS)
def test_an_array_of_a_user(name):
    content, message = ARRAYS[name]
    Path(name).write_bytes(content)
    refuses(lambda: arrays.load_images(Path(name)), name, message)
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
    refuses(lambda: arrays.load_images(Path(name)), name, message)


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
    refuses(lambda: arrays.load_labels(Path("d.npz")), "d.npz", message)


def test_samples_without_labels_are_not_named_labels():
    """`--data` names the file of both, and a .npy has no names."""
    np.save("d.npy", X)
    refuses(
        lambda: arrays.load_labels(Path("d.npy")), "d.npy", r"has one array, float32 .* \.npz with samples x"
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
        found = arrays.load_images(Path(name))
        assert found.dtype == torch.float32 and found.shape == X.shape
        np.testing.assert_array_equal(found.numpy(), expected)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64", "float8_e4m3fn", "float8_e5m2", "bool"])
def test_types_that_numpy_lacks_and_foreign_metadata_are_read(dtype):
    values = torch.tensor(X).round().to(getattr(torch, dtype))
    for metadata in ({"metadata": "images of mine"}, {"metadata": "[1, 2]"}, {"checksum": "no"}, None):
        save_file({"x": values, "y": torch.arange(4)}, "a.SafeTensors", metadata=metadata)
        np.testing.assert_array_equal(arrays.load_images(Path("a.SafeTensors")).numpy(), X.round())
        assert arrays.load_labels(Path("a.SafeTensors")).tolist() == [0, 1, 2, 3]


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
                arrays.load_images(Path(name))
        else:
            np.testing.assert_array_equal(arrays.load_images(Path(name)).numpy(), values.astype(bool))


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", ">i4", "uint64"])
def test_labels_of_every_type_of_integers_are_read(dtype):
    np.save("y.npy", np.arange(4).astype(dtype))
    assert arrays.load_labels(Path("y.npy")).tolist() == [0, 1, 2, 3]


def test_the_attack_names_the_file():
    for name in ("shape.npy", "encrypted.npz", "offsets.safetensors", "x.pt"):
        Path(name).write_bytes(ARRAYS[name][0])
        command = ["attack", "--model", "m:f", "--data", name, "--out", "o.safetensors"]
        error = CliRunner().invoke(app, command).exception
        refuses(lambda error=error: (_ for _ in ()).throw(error), f"--data {name}", ARRAYS[name][1])
