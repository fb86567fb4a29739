"""Files are whole or absent."""

import math
import os
import subprocess
import sys

import numpy as np
import pytest

from tests.unit.paper.test_paper import record
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


def test_two_writers_at_a_time_do_not_mix(tmp_path):
    path = tmp_path / "x [a*].txt"
    with storage.atomic(path, "w") as one, storage.atomic(path, "w") as two:
        for _ in range(3):
            one.write("one\n" * 10_000)
            two.write("two\n" * 20_000)
            one.flush()
    assert path.read_text() == "one\n" * 30_000  # the last to end
    assert list(tmp_path.iterdir()) == [path]


KILLED = """
import os
from uae import storage
with storage.atomic({path!r}) as file:
    file.write(b"half")
    file.flush()
    os._exit(9)
"""


def test_what_a_killed_writer_left_goes_with_the_next_write_of_its_file(tmp_path):
    path = tmp_path / "x.txt"
    subprocess.run([sys.executable, "-c", KILLED.format(path=str(path))], check=False)
    (left,) = tmp_path.iterdir()
    mine = tmp_path / ".x.txt.notes.tmp"  # a user's own
    mine.touch()
    storage.write_text(tmp_path / "x.txt.more", "another file")
    assert left.exists()
    with storage.atomic(path, "w") as file:
        file.write("whole")
        storage.write_text(path, "meanwhile")  # leaves the file of a writer at work
    assert path.read_text() == "whole"
    assert set(tmp_path.iterdir()) == {path, mine, tmp_path / "x.txt.more"}


def test_a_file_that_is_replaced_keeps_its_permissions(tmp_path):
    path = tmp_path / "x.txt"
    storage.write_text(path, "new")
    assert path.stat().st_mode & 0o777 == 0o666 & ~_umask()
    path.chmod(0o600)
    storage.write_text(path, "secret")
    assert path.stat().st_mode & 0o777 == 0o600 and path.read_text() == "secret"


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("/dev/null")])
def test_what_is_no_file_is_not_replaced(tmp_path, make):
    path = tmp_path / "x.txt"
    make(path)
    before = path.lstat()
    with pytest.raises(OSError, match=r"cannot write .*x\.txt: a folder, device or pipe is there"):
        storage.write_text(path, "new")
    assert path.lstat().st_ino == before.st_ino and list(tmp_path.iterdir()) == [path]


def test_a_link_is_replaced_and_not_followed(tmp_path):
    path, cache = tmp_path / "x.txt", tmp_path / "cache.txt"
    cache.write_text("cached")
    path.symlink_to(cache)
    storage.write_text(path, "new")
    assert cache.read_text() == "cached" and path.read_text() == "new" and not path.is_symlink()


@pytest.mark.parametrize("name", ["a" * 255, "ä" * 127, "[x]", "-x", "a b"])
def test_a_name_that_the_system_allows_can_be_written(tmp_path, name):
    storage.write_text(tmp_path / name, "text")
    assert [path.name for path in tmp_path.iterdir()] == [name]


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


@pytest.mark.parametrize("end", [-1, 50])  # a flipped bit, and half a file
def test_only_a_file_that_a_job_makes_again_is_to_be_deleted(tmp_path, end):
    """A user's result cannot be made again by deleting it."""
    name = "uae/mnist/dense/mine-uae/seed0.safetensors"
    for path, made in ((tmp_path / "results/a" / name, True), (tmp_path / name, False)):
        storage.write_tensors(path, {"a": np.arange(100.0)}, {"seed": 3})
        content = path.read_bytes()
        path.write_bytes(content[:end] + b"!" * (end == -1))
        with pytest.raises(BadFile) as error:
            storage.read_tensors(path)
        assert ("delete it to have it made again" in str(error.value)) == made
        assert "delete" not in str(error.value) or made


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
