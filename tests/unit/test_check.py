"""Damaged files are found, named and, when asked, removed."""

import gzip
import json
import shutil

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.unit.test_paper import record
from uae import storage
from uae.check import damaged
from uae.cli import app
from uae.errors import BadFile, InputError
from uae.records import read


@pytest.fixture
def results(tmp_path):
    """One file of each kind, whole."""
    folder = tmp_path / "results" / "tiny"
    rng = np.random.default_rng(0)
    arrays = {"weight": rng.normal(size=(8, 8)).astype(np.float32), "success": np.array([True, False])}
    storage.write_tensors(folder / "uae" / "a.safetensors", arrays, {"seed": 0})
    record("original", test_error=0.5).save(folder / "records" / "reconstruction" / "seed0.json")
    storage.write_text(folder / "tables" / "table4.csv", "value\n0.5\n")
    name = "results/tiny/tables/table4.csv"
    packed = {"metadata": {}, "rendered": {name: storage.digest(tmp_path / name)}}
    (folder / "metadata.json.gz").write_bytes(gzip.compress(json.dumps(packed).encode()))
    return folder


def empty(content):
    return b""


def truncated(content):
    return content[: len(content) // 2]


def flipped(content):
    """One bit, late in the file: in the numbers of tensors, in a digit of a text."""
    at = max(i for i, byte in enumerate(content[:-2]) if chr(byte).isdigit() or byte > 127)
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


FILES = ("uae/a.safetensors", "records/reconstruction/seed0.json", "tables/table4.csv", "metadata.json.gz")


@pytest.mark.parametrize("damage", [empty, truncated, flipped])
@pytest.mark.parametrize("name", FILES)
def test_every_damage_is_found(results, tmp_path, name, damage):
    assert list(damaged(results, tmp_path / "none")) == []
    path = results / name
    path.write_bytes(damage(path.read_bytes()))
    assert [found for found, _ in damaged(results, tmp_path / "none")] == [path]


@pytest.mark.parametrize("part", ["numbers", "metadata", "shape"])
def test_a_changed_tensor_file_is_not_read(results, part):
    path = results / "uae" / "a.safetensors"
    old, new = {
        "numbers": (path.read_bytes()[-1:], bytes([path.read_bytes()[-1] ^ 1])),
        "metadata": (b'\\"seed\\": 0', b'\\"seed\\": 1'),
        "shape": (b"[8,8]", b"[4,16]"),
    }[part]
    content = path.read_bytes()
    path.write_bytes(content[:-1] + new if part == "numbers" else content.replace(old, new))
    assert path.read_bytes() != content
    with pytest.raises(BadFile, match=r"a\.safetensors"):
        storage.read_tensors(path)


def test_a_record_edited_by_hand_is_refused(results):
    path = results / "records" / "reconstruction" / "seed0.json"
    path.write_text(path.read_text().replace("0.5", "0.4"))
    with pytest.raises(BadFile, match=r"seed0\.json: the content does not have its checksum"):
        read(path)


def test_the_command_names_and_deletes(results, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(app, ["check", "--scale", "tiny"]).exit_code == 0
    shutil.copy(results / "tables" / "table4.csv", results / "uae" / "a.safetensors")
    assert CliRunner().invoke(app, ["check", "--scale", "tiny"]).exit_code == 1
    assert (results / "uae" / "a.safetensors").exists()
    deleted = CliRunner().invoke(app, ["check", "--scale", "tiny", "--delete"])
    assert deleted.exit_code == 0
    again = "snakemake --cores all results/tiny/uae/a.safetensors --config scale=tiny"
    assert again in " ".join(deleted.output.split())
    assert not (results / "uae" / "a.safetensors").exists()
    assert CliRunner().invoke(app, ["check", "--scale", "tiny"]).exit_code == 0


def test_a_scale_that_is_not_there_is_named(tmp_path):
    error = CliRunner().invoke(app, ["check", "--scale", "papre", "--results", str(tmp_path)]).exception
    assert isinstance(error, InputError) and f"{tmp_path / 'papre'}: no such folder" in str(error)
