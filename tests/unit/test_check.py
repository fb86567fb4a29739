"""Damaged files are found, named and, when asked, removed; what was not looked at is said."""

import base64
import gzip
import hashlib
import json
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from typer.testing import CliRunner

from tests.unit.paper.test_paper import record
from uae import check, storage
from uae.check import deletable, keep, known
from uae.cli import app
from uae.config import ROOT
from uae.data import catalogue
from uae.errors import BadFile, InputError
from uae.records import field, read

RECORD = "records/reconstruction/mnist/dense/original/seed0.json"
SET = "uae/mnist/dense/mine-uae/seed0.safetensors"
TABLE = "tables/table4.csv"


def pack(folder, *names):
    """What Snakemake knows of some outputs, as a run leaves it."""
    keys = {base64.b64encode(f"results/tiny/{name}".encode()).decode(): {} for name in names}
    (folder / "metadata.json.gz").write_bytes(gzip.compress(json.dumps({"metadata": keys}).encode()))


@pytest.fixture
def results(tmp_path, monkeypatch):
    """One file of each kind, whole, in the working directory's results."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "results" / "tiny"
    rng = np.random.default_rng(0)
    arrays = {"weight": rng.normal(size=(8, 8)).astype(np.float32), "success": np.array([True, False])}
    storage.write_tensors(folder / SET, arrays, {"seed": 0})
    record("original", model="dense", test_error=0.5).save(folder / RECORD)
    storage.write_text(folder / TABLE, "value\n0.5\n")
    keep(folder, {}, 0)
    pack(folder, SET, RECORD, TABLE)
    return folder


def damaged(results):
    return list(check.check(results).damaged)


def empty(content):
    return b""


def truncated(content):
    return content[: len(content) // 2]


def flipped(content):
    """One bit, late in the file: in the numbers of tensors, in a digit of a text."""
    at = max(i for i, byte in enumerate(content[:-2]) if chr(byte).isdigit() or byte > 127)
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


@pytest.mark.parametrize("damage", [empty, truncated, flipped])
@pytest.mark.parametrize("name", [SET, RECORD, TABLE, "metadata.json.gz"])
def test_every_damage_is_found(results, name, damage):
    assert damaged(results) == []
    path = results / name
    path.write_bytes(damage(path.read_bytes()))
    assert damaged(results) == [path]


@pytest.mark.parametrize("damage", [empty, truncated, lambda content: b"[]", lambda content: b"null"])
def test_damaged_digests_are_named_themselves(results, damage):
    path = results / check.DIGESTS
    path.write_bytes(damage(path.read_bytes()))
    assert damaged(results) == [path]


@pytest.mark.parametrize("part", ["numbers", "metadata", "shape", "checksum"])
def test_a_changed_tensor_file_is_not_read(results, part):
    path = results / SET
    old, new = {
        "numbers": (path.read_bytes()[-1:], bytes([path.read_bytes()[-1] ^ 1])),
        "metadata": (b'\\"seed\\": 0', b'\\"seed\\": 1'),
        "shape": (b"[8,8]", b"[4,16]"),
        "checksum": (b'\\"checksum\\"', b'\\"cheCksum\\"'),
    }[part]
    content = path.read_bytes()
    path.write_bytes(content[:-1] + new if part == "numbers" else content.replace(old, new))
    assert path.read_bytes() != content
    with pytest.raises(BadFile, match=r"seed0\.safetensors"):
        storage.read_tensors(path)
    assert damaged(results) == [path]


def bfloat16(path):
    header = b'{"a":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}'
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"\0\0\0\0")


def with_metadata(text):
    return lambda path: save_file({"a": np.zeros(2)}, path, {"metadata": text})


ODD = {
    "a folder": lambda path: path.mkdir(),
    "a pipe": os.mkfifo,
    "a link to nothing": lambda path: path.symlink_to("nowhere"),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "null metadata": with_metadata("null"),
    "list metadata": with_metadata("[1, 2]"),
    "number metadata": with_metadata("3"),
    "no JSON": with_metadata("{"),
    "no metadata": lambda path: save_file({"a": np.zeros(2)}, path),
    "another's metadata": lambda path: save_file({"a": np.zeros(2)}, path, {"format": "pt"}),
    "inputs that are none": with_metadata('{"inputs": 3, "file": "x", "checksum": null}'),
    "a foreign type": bfloat16,
    "text": lambda path: path.write_text("<html>"),
    "null": lambda path: path.write_text("null"),
    "a list": lambda path: path.write_text("[1]"),
    "deep": lambda path: path.write_text("[" * 100_000),
}


@pytest.mark.parametrize("name", [SET, RECORD, TABLE, "metadata.json.gz", check.DIGESTS])
@pytest.mark.parametrize("kind", ODD)
def test_nothing_in_a_files_place_stops_it(results, name, kind):
    path = results / name
    path.unlink()
    ODD[kind](path)
    assert path in damaged(results)
    deleted = CliRunner().invoke(app, ["check", "--scale", "tiny", "--delete"])
    assert deleted.exit_code == (1 if kind == "a folder" else 0), deleted.output
    assert (path.is_symlink() or path.exists()) == (kind == "a folder")


def test_a_record_edited_by_hand_is_refused(results):
    path = results / RECORD
    path.write_text(path.read_text().replace("0.5", "0.4"))
    with pytest.raises(BadFile, match=r"seed0\.json: the content does not have its checksum"):
        read(path)


def test_a_record_of_the_first_version_is_read_and_said_to_be_one(results):
    """The committed ones: without an identity, but not in another's place."""
    old = next((ROOT / "results/reduced/records/reconstruction/mnist/dense/original").glob("*.json"))
    content = json.loads(old.read_text())
    assert "inputs" not in content and read(old).inputs is None
    target = results / "records/reconstruction/mnist/dense/matched/seed0.json"
    target.parent.mkdir()
    shutil.copy(old, target)
    with pytest.raises(BadFile, match="is the record of mnist/dense/original"):
        read(target)
    shutil.copy(old, results / RECORD)
    report = check.check(results)
    assert list(report.damaged) == [target]
    assert any("the inputs of 1 files: made before" in line for line in report.unchecked)


def test_the_command_names_and_deletes(results):
    uae = ["check", "--scale", "tiny"]
    assert CliRunner().invoke(app, uae).exit_code == 0
    shutil.copy(results / TABLE, results / SET)
    found = CliRunner().invoke(app, uae)
    assert found.exit_code == 1 and "uae check --scale tiny --delete" in found.output
    assert (results / SET).exists()
    deleted = CliRunner().invoke(app, [*uae, "--delete"])
    assert deleted.exit_code == 0
    again = f"snakemake --cores all results/tiny/{SET} --config scale=tiny"
    assert again in " ".join(deleted.output.split())
    assert not (results / SET).exists()
    left = CliRunner().invoke(app, uae)
    assert left.exit_code == 0 and f"missing: results/tiny/{SET}" in left.output


def test_the_advice_names_only_files_that_a_rule_makes(results):
    (results / check.DIGESTS).write_text("{")
    (results / TABLE).unlink()
    deleted = CliRunner().invoke(app, ["check", "--scale", "tiny", "--delete"])
    assert "1 deleted; to make them again: snakemake --cores all --config scale=tiny" in deleted.output


def test_the_advice_repeats_all_options(results, tmp_path):
    shutil.move(tmp_path / "results", tmp_path / "my results")
    (tmp_path / "my results" / "tiny" / TABLE).write_text("")
    found = CliRunner().invoke(app, ["check", "--scale", "tiny", "--results", "my results"])
    assert "uae check --scale tiny --results 'my results' --delete" in found.output


@pytest.mark.parametrize(
    "name", ["../../precious.txt", "tables/../../../precious.txt", "{root}/precious.txt"]
)
def test_names_that_lead_out_are_refused(results, tmp_path, name):
    victim = tmp_path / "precious.txt"
    victim.write_text("mine")
    (results / check.DIGESTS).write_text(json.dumps({name.format(root=tmp_path): "0" * 64}))
    assert damaged(results) == [results / check.DIGESTS]
    CliRunner().invoke(app, ["check", "--scale", "tiny", "--delete"])
    assert victim.read_text() == "mine"


def test_links_are_not_followed(results, tmp_path):
    """A folder that is a link leads out: nothing there is deleted. A file that is one: only the link."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "table4.csv").write_text("mine")
    (outside / "set.safetensors").write_text("mine")
    shutil.rmtree(results / "tables")
    (results / "tables").symlink_to(outside)
    (results / SET).unlink()
    (results / SET).symlink_to(outside / "set.safetensors")
    deleted = CliRunner().invoke(app, ["check", "--scale", "tiny", "--delete"])
    assert deleted.exit_code == 1 and "1 damaged and not deleted" in deleted.output
    assert {p.name: p.read_text() for p in outside.iterdir()} == {
        "table4.csv": "mine",
        "set.safetensors": "mine",
    }
    assert not (results / SET).is_symlink()
    assert not deletable(results / ".." / "other" / "x.csv", [results])
    for scale in ("", "..", ".", "tiny/../tiny", str(tmp_path)):
        with pytest.raises(InputError, match="no such folder"):
            CliRunner().invoke(app, ["check", "--scale", scale, "--delete"], catch_exceptions=False)


def test_what_is_missing_or_was_not_looked_at_is_said(results):
    (results / SET).unlink()
    assert check.check(results).missing == [str(results / SET)]
    (results / "metadata.json.gz").unlink()
    (results / check.DIGESTS).unlink()
    unchecked = "\n".join(check.check(results).unchecked)
    for what in ("digests.json", "metadata.json.gz", "raw data", "no configuration of this scale"):
        assert what in unchecked
    said = CliRunner().invoke(app, ["check", "--scale", "tiny"]).output
    assert "not checked: " in said and "every file" not in said


def test_a_record_whose_inputs_stayed_elsewhere_is_whole(results):
    """As after `make gpu`, whose archives have no room for all. Another file in an input's place is found."""
    made = record("original", model="dense", test_error=0.5)
    inputs = {SET: {"content": "0" * 64, "settings": None}}
    made.model_copy(update={"inputs": inputs}).save(results / RECORD)
    assert list(check.check(results).damaged) == [results / RECORD]
    (results / SET).unlink()
    report = check.check(results)
    assert not report.damaged and str(results / SET) in report.missing


def test_a_table_that_is_gone_is_missing_not_damaged(results):
    (results / TABLE).unlink()
    report = check.check(results)
    assert not report.damaged and report.missing == [str(results / TABLE)]


@pytest.mark.parametrize("name", [SET, RECORD, TABLE, "metadata.json.gz"])
def test_what_could_not_be_read_is_not_deleted(results, name, monkeypatch):
    """A file of another user, or on a disk that fails for a moment, may be whole."""
    path, whole = results / name, {Path: Path.open, gzip: gzip.open}

    def refusing(module):
        def refused(file, *args, **options):
            if Path(file).absolute() == path:
                raise PermissionError(13, "Permission denied", str(file))
            return whole[module](file, *args, **options)

        return refused

    for module in whole:
        monkeypatch.setattr(module, "open", refusing(module))
    report = check.check(results)
    assert list(report.damaged) == [path] and report.unreadable == {path}
    assert "Permission denied" in report.damaged[path] and "whole" not in report.damaged[path]
    deleted = CliRunner().invoke(app, ["check", "--scale", "tiny", "--delete"])
    assert deleted.exit_code == 1 and "1 damaged and not deleted: unreadable" in deleted.output
    assert path.exists()


@pytest.mark.parametrize("text", ["[1]", "3", "null", "[" * 100_000])
def test_json_that_is_no_record_is_named(results, text):
    (results / RECORD).write_text(text)
    with pytest.raises(BadFile, match=r"seed0\.json: not a record"):
        read(results / RECORD)
    assert field(results / RECORD, "variant") is None


def test_raw_data_are_compared_with_the_catalogue(results, tmp_path, monkeypatch):
    entry = catalogue.entries()["mnist"]
    whole, wrong = list(entry.files)[:2]
    files = dict.fromkeys([whole, wrong], hashlib.sha256(b"images").hexdigest())
    monkeypatch.setattr(catalogue, "entries", lambda: {"mnist": entry.model_copy(update={"files": files})})
    folder = tmp_path / "data" / "raw" / "mnist"
    folder.mkdir(parents=True)
    before = check.check(results).whole
    (folder / whole).write_bytes(gzip.compress(b"images"))
    (folder / wrong).write_bytes(gzip.compress(b"<html>"))
    report = check.check(results)
    assert report.whole == before + 1
    ((path, reason),) = report.damaged.items()
    assert path.resolve() == folder / wrong and "expected" in reason
    deleted = CliRunner().invoke(app, ["check", "--scale", "tiny", "--delete"])
    assert deleted.exit_code == 1 and (folder / wrong).exists()  # it may not be had twice


def test_published_models_and_known_contents_are_compared_too(results, tmp_path):
    """The entry of COIL-20 has no checksum of its archive, but one of what it holds."""
    model = catalogue.model_file("trades-mnist")
    coil = f"data/raw/coil-20/{next(iter(catalogue.entries()['coil-20'].files))}"
    for name in (model, coil):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(b"PK\3\4, then nothing")
    found = check.check(results)
    assert {str(path) for path in found.damaged} == {model, coil}
    assert not any("no published checksum" in line for line in found.unchecked)


def test_a_later_run_does_not_bless_what_was_changed_before_it(results):
    before = known(results)
    (results / TABLE).write_text("value\n0.4\n")
    start = time.time() + 1  # the run begins later
    keep(results, before, start)
    assert damaged(results) == [results / TABLE]
    os.utime(results / TABLE, (start + 1, start + 1))  # rendered by the run
    keep(results, before, start)
    assert damaged(results) == []


def test_the_committed_tables_and_figures_have_their_digests():
    folder = ROOT / "results" / "paper"
    names = {path.relative_to(folder).as_posix() for path in check.rendered(folder)}
    assert names == set(known(folder)) and len(names) > 60
    for name, digest in known(folder).items():
        assert storage.digest(folder / name) == digest, f"{name}: render again, which keeps its digest"


def test_a_scale_that_is_not_there_is_named(tmp_path):
    error = CliRunner().invoke(app, ["check", "--scale", "papre", "--results", str(tmp_path)]).exception
    assert isinstance(error, InputError) and f"{tmp_path / 'papre'}: no such folder" in str(error)
