"""Snakemake's metadata that arrive with the results write nothing but metadata of this scale's outputs."""

import base64
import gzip
import json
import os
import time
from pathlib import Path

import pytest
from snakemake.persistence import MetadataRecord
from snakemake.persistence.file import FilePersistence

from uae import metadata
from uae.errors import BadFile

RECORD = MetadataRecord(
    rule="train", input=["data/prepared/mnist.safetensors"], params=["'x'"], record_format_version=6
).model_dump()
OUTPUT = "results/paper/records/x/seed0.json"


def encoded(output: str) -> str:
    return base64.urlsafe_b64encode(output.encode()).decode()


def write(path: Path, content) -> Path:
    path.write_bytes(gzip.compress(json.dumps(content).encode()))
    return path


@pytest.fixture
def live(tmp_path, monkeypatch) -> Path:
    """.snakemake/metadata of a project beside which lies a victim."""
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim" / "file").write_text("precious")
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    return Path(".snakemake/metadata")


def everything(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() if p.is_file() else b"" for p in sorted(folder.rglob("*"))}


OUTPUTS = [OUTPUT, "results/paper/report.html", "data/prepared/mnist-5k@60+flip.safetensors",
           "results/paper/" + "long-" * 60 + "/x?>~.json"]  # fmt: skip


def test_what_is_packed_is_what_snakemake_finds_again(live, tmp_path):
    """Written and read by Snakemake itself, long names and all characters of its base64 among them."""
    live.mkdir(parents=True)
    persistence = FilePersistence.__new__(FilePersistence)
    persistence._max_len, persistence._metadata_path = None, str(live)
    for output in [*OUTPUTS, "results/preview/report.html", "data/raw/mnist/x.gz"]:
        persistence._write_record(output, MetadataRecord(**RECORD | {"rule": output}))
    (live / encoded(OUTPUT + "cut")).write_text("{")
    packed = tmp_path / "metadata.json.gz"
    metadata.pack(live, packed, "paper")
    before = packed.read_bytes()
    for path in sorted(live.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    metadata.unpack(packed, live, "paper")
    persistence._clear_cache()
    for output in OUTPUTS:
        assert persistence._read_record(output).rule == output
    assert len([path for path in live.rglob("*") if path.is_file()]) == len(OUTPUTS)
    metadata.pack(live, packed, "paper")
    assert packed.read_bytes() == before


def test_nothing_known_is_packed_as_nothing(live, tmp_path):
    metadata.pack(live, tmp_path / "metadata.json.gz", "paper")
    assert not (tmp_path / "metadata.json.gz").exists()


def test_what_the_next_run_would_refuse_is_not_packed(live, tmp_path, monkeypatch, caplog):
    live.mkdir(parents=True)
    (live / encoded(OUTPUT)).write_text(json.dumps(RECORD))
    monkeypatch.setattr(metadata, "LARGEST", 100)
    metadata.pack(live, tmp_path / "metadata.json.gz", "paper")
    assert not (tmp_path / "metadata.json.gz").exists()
    assert "metadata.json.gz is not written" in caplog.text


def test_what_a_run_here_left_is_kept_and_what_a_kill_cut_is_mended(live, tmp_path):
    packed = write(tmp_path / "m.gz", {"metadata": {encoded(o): RECORD for o in OUTPUTS[:2]}})
    live.mkdir(parents=True)
    own, cut = (live / encoded(output) for output in OUTPUTS[:2])
    own.write_text(json.dumps(RECORD | {"rule": "own"}))
    cut.write_text('{"rule"')
    metadata.unpack(packed, live, "paper")
    assert json.loads(own.read_text())["rule"] == "own" and json.loads(cut.read_text()) == RECORD


@pytest.mark.parametrize(
    "name",
    [
        "/tmp/x", "../../victim/file", "../locks/x", "@../../victim", "", ".", "..", "@", "@/", "/", "a/b",
        "x" * 300, "@" + encoded(OUTPUT), encoded(OUTPUT).rstrip("=") + "===", encoded(OUTPUT) + "\n",
        f"./{encoded(OUTPUT)}",
        f"@..//{encoded(OUTPUT)}", f"{encoded(OUTPUT)[:8]}/{encoded(OUTPUT)[8:]}", "ü", "\x00",
        encoded("results/preview/report.html"), encoded("results/paper"), encoded("results/paper/"),
        encoded("results/paper/../../../victim/file"), encoded("/results/paper/x"),
        encoded("results/paper//x"),
        encoded("results/paper/./x"), encoded("data/raw/mnist/x"), encoded("data/prepared/../raw/x"),
        encoded("src/uae/__init__.py"), encoded("results/paper/a\nb"), encoded("results/paper/a\x1b[2Jb"),
        base64.urlsafe_b64encode(b"results/paper/\xff").decode(), "ZGF0YQ",
    ],
)  # fmt: skip
def test_another_name_is_refused_and_nothing_written(live, tmp_path, name):
    packed = write(tmp_path / "m.gz", {"metadata": {encoded(OUTPUT): RECORD, name: RECORD}})
    before = everything(tmp_path)
    with pytest.raises(BadFile, match=r"m\.gz: not what a run left .*; delete it") as error:
        metadata.unpack(packed, live, "paper")
    assert everything(tmp_path) == before and str(error.value).isprintable()


@pytest.mark.parametrize(
    "content",
    [
        None, [], "x", 3, True, {}, {"x": 1}, [RECORD], RECORD | {"rule": 3}, RECORD | {"input": "x"},
        RECORD | {"input": [["x"]]}, RECORD | {"params": {}}, RECORD | {"input_checksums": []},
        RECORD | {"record_format_version": True}, RECORD | {"starttime": "now"}, RECORD | {"incomplete": 1},
        RECORD | {"log": [1]}, {k: v for k, v in RECORD.items() if k != "rule"},
    ],
)  # fmt: skip
def test_other_content_is_refused_and_nothing_written(live, tmp_path, content):
    packed = write(tmp_path / "m.gz", {"metadata": {encoded(OUTPUT): RECORD, encoded(OUTPUT + "x"): content}})
    with pytest.raises(BadFile, match=r"its entry for '.*jsonx' is not Snakemake's"):
        metadata.unpack(packed, live, "paper")
    assert not live.exists()


BYTES = {
    "empty": b"",
    "text": b"<html>",
    "cut": gzip.compress(b'{"metadata": {}}')[:-9],
    "no JSON": gzip.compress(b"{"),
    "not UTF-8": gzip.compress(b'{"metadata": "\xff"}'),
    "list": gzip.compress(b"[]"),
    "null": gzip.compress(b"null"),
    "no metadata": gzip.compress(b"{}"),
    "list of metadata": gzip.compress(b'{"metadata": []}'),
    "deep": gzip.compress(b"[" * 1_000_000),
    "deep inside": gzip.compress(b'{"metadata": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
}


@pytest.mark.parametrize("kind", BYTES)
def test_a_file_that_no_run_left_is_named(live, tmp_path, kind):
    (tmp_path / "m.gz").write_bytes(BYTES[kind])
    with pytest.raises(BadFile, match=r"m\.gz: not what a run left"):
        metadata.unpack(tmp_path / "m.gz", live, "paper")
    assert not live.exists()


def test_a_bomb_is_not_unpacked(live, tmp_path, monkeypatch):
    monkeypatch.setattr(metadata, "LARGEST", 1_000_000)
    bomb = gzip.compress(b" " * 30_000_000)
    (tmp_path / "m.gz").write_bytes(bomb)
    with pytest.raises(BadFile, match="MiB unpacked"):
        metadata.unpack(tmp_path / "m.gz", live, "paper")
    (tmp_path / "m.gz").unlink()
    os.mkfifo(tmp_path / "m.gz")
    with pytest.raises(BadFile, match="no file"):
        metadata.unpack(tmp_path / "m.gz", live, "paper")


@pytest.mark.parametrize("link", [".snakemake", ".snakemake/metadata", ".snakemake/metadata/@part", "file"])
def test_links_are_not_followed(live, tmp_path, link):
    output = OUTPUTS[3] if link.endswith("@part") else OUTPUT
    live.parent.mkdir()
    if link.endswith("@part"):
        live.mkdir()
        link = str(metadata.path_of(output, live).parent)
    if link == "file":
        live.mkdir()
        metadata.path_of(output, live).symlink_to(tmp_path / "victim" / "file")
    else:
        if Path(link).exists():
            Path(link).rmdir()
        Path(link).symlink_to(tmp_path / "victim")
    packed = write(tmp_path / "m.gz", {"metadata": {encoded(output): RECORD}})
    if link.endswith("@part") or "/@" in link:
        long = metadata.path_of(output, live).relative_to(live).as_posix()
        packed = write(packed, {"metadata": {long: RECORD}})
    if link == "file":
        metadata.unpack(packed, live, "paper")
        path = metadata.path_of(output, live)
        assert not path.is_symlink() and json.loads(path.read_text()) == RECORD
    else:
        with pytest.raises(BadFile, match="a link or file, but Snakemake needs a folder"):
            metadata.unpack(packed, live, "paper")
    assert everything(tmp_path / "victim") == {str(tmp_path / "victim" / "file"): b"precious"}


def test_times_to_come_are_set_to_now(tmp_path):
    soon, old, link = (tmp_path / name for name in ("soon", "old", "link"))
    for path in (soon, old):
        path.touch()
    link.symlink_to(old)
    os.utime(soon, (time.time() + 86400,) * 2)
    os.utime(old, (1000, 1000))
    os.utime(link, (time.time() + 86400,) * 2, follow_symlinks=False)
    files = [soon, old, soon, tmp_path / "missing", link]
    assert metadata.from_the_future(files) == [str(soon), str(link)]
    assert max(soon.stat().st_mtime, link.lstat().st_mtime) <= time.time()
    assert metadata.from_the_future(files) == []
