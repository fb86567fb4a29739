"""Files are whole or absent."""

import math
import subprocess
import sys

import numpy as np
import pytest

from tests.unit.test_paper import record
from uae import storage
from uae.errors import BadFile, InputError


def test_a_failed_write_leaves_the_old_file_and_no_temporary(tmp_path):
    path = tmp_path / "a" / "x.txt"
    storage.write_text(path, "old")
    with pytest.raises(RuntimeError), storage.atomic(path, "w") as file:
        file.write("half of the n")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


def test_a_full_disk_names_the_file_and_keeps_the_old_one(tmp_path):
    """A real error of the system: the process may write no more than 1,000 bytes a file."""
    path = tmp_path / "x.safetensors"
    storage.write_tensors(path, {"a": np.zeros(3)}, {})
    before = path.read_bytes()
    code = f"""
import resource, signal, numpy as np
from uae import storage
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
storage.write_tensors({str(path)!r}, {{"a": np.zeros(10_000)}}, {{}})
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode != 0
    assert f"cannot write {path}" in run.stderr
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_tensors_and_metadata_come_back(tmp_path):
    path = tmp_path / "x.safetensors"
    arrays = {"a": np.arange(6.0).reshape(2, 3), "b": np.array([True, False])}
    storage.write_tensors(path, arrays, {"n": 1, "s": ["x", None]})
    found, metadata = storage.read_tensors(path, "a", "b")
    assert metadata == {"n": 1, "s": ["x", None]}
    before = path.read_bytes()
    for _ in range(5):  # the order of several entries would be random
        storage.write_tensors(path, dict(reversed(arrays.items())), {"s": ["x", None], "n": 1})
        assert path.read_bytes() == before
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize("damage", ["truncate", "empty", "garbage"])
def test_a_damaged_file_is_named(tmp_path, damage):
    path = tmp_path / "x.safetensors"
    storage.write_tensors(path, {"a": np.zeros(100)}, {})
    content = {"truncate": path.read_bytes()[:-10], "empty": b"", "garbage": b"\x80\x04pickle"}[damage]
    path.write_bytes(content)
    with pytest.raises(BadFile, match=r"x\.safetensors"):
        storage.read_tensors(path)


def test_a_missing_array_is_named(tmp_path):
    path = tmp_path / "x.safetensors"
    storage.write_tensors(path, {"a": np.zeros(1)}, {})
    with pytest.raises(BadFile, match="lacks adv, mi; it has a"):
        storage.read_tensors(path, "adv", "mi", "a")


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_record_names_the_metric_that_is_no_number(tmp_path, value):
    path = tmp_path / "seed0.json"
    with pytest.raises(InputError, match=f"seed0.json: the metric asr is {value}"):
        record("mine-uae", asr=value).save(path)
    assert not path.exists()
