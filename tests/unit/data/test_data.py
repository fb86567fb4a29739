"""The data stage: catalogue, downloads from mirrors, damaged files, prepared files."""

import errno
import functools
import gzip
import hashlib
import http.server
import os
import re
import threading
from pathlib import Path

import numpy as np
import pytest

from uae import storage
from uae.data import catalogue, fetch, prepared, readers
from uae.errors import BadFile, DataError

NAMES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)


def idx(array: np.ndarray) -> bytes:
    sizes = b"".join(int(n).to_bytes(4, "big") for n in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A small data set in MNIST's format with a mirror that has it; upstream is not reachable."""
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (n, 4, 4), dtype=np.uint8) for n in (12, 5)]
    labels = [rng.permutation(np.arange(n, dtype=np.uint8) % 4) for n in (12, 5)]
    arrays = [images[0], labels[0], images[1], labels[1]]
    folder = tmp_path / "mirror" / "small"
    folder.mkdir(parents=True)
    files = {}
    for name, array in zip(NAMES, arrays, strict=True):
        (folder / name).write_bytes(gzip.compress(idx(array)))
        files[name] = fetch.checksum(folder / name)
    entry = catalogue.Entry(
        stands_for="small", title="Small", licence="none", train=12, test=5, classes=4, reader="idx",
        urls=["http://127.0.0.1:9/"], files=files,
    )  # fmt: skip
    monkeypatch.setattr(catalogue, "entries", lambda: {"small": entry})
    monkeypatch.setattr(fetch, "RETRIES", 0)
    return tmp_path / "mirror", arrays


def get(mirror, target, name=NAMES[0]):
    fetch.fetch("small", name, target, str(mirror) if mirror else None)


def test_from_a_mirror_folder_and_file_address(published, tmp_path):
    mirror, _ = published
    for number, address in enumerate((mirror, mirror.as_uri())):
        get(address, tmp_path / f"{number}.gz")
        assert (tmp_path / f"{number}.gz").read_bytes() == (mirror / "small" / NAMES[0]).read_bytes()


def test_a_file_that_passes_the_check_is_kept_and_another_is_fetched(published, tmp_path):
    """A user put it there, or it may be gone upstream."""
    good = (published[0] / "small" / NAMES[0]).read_bytes()
    (tmp_path / "out.gz").write_bytes(good)
    get(None, tmp_path / "out.gz")  # no address answers
    get(published[0], tmp_path / "out.gz")
    (tmp_path / "out.gz").write_bytes(good[:-9])
    with pytest.raises(DataError, match="could not be fetched"):
        get(None, tmp_path / "out.gz")
    get(published[0], tmp_path / "out.gz")
    assert (tmp_path / "out.gz").read_bytes() == good


def test_from_a_mirror_on_the_web(published, tmp_path):
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=published[0])
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        get(f"http://127.0.0.1:{server.server_port}", tmp_path / "out.gz")
        server.shutdown()
    assert fetch.checksum(tmp_path / "out.gz") == catalogue.lookup("small")[0].files[NAMES[0]]


def test_after_a_bad_file_from_one_address_the_next_is_asked(published, tmp_path):
    good = functools.partial(http.server.SimpleHTTPRequestHandler, directory=published[0])
    (tmp_path / "bad" / "small").mkdir(parents=True)
    (tmp_path / "bad" / "small" / NAMES[0]).write_text("<html>Service unavailable</html>")
    bad = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path / "bad")
    with (
        http.server.ThreadingHTTPServer(("127.0.0.1", 0), good) as upstream,
        http.server.ThreadingHTTPServer(("127.0.0.1", 0), bad) as mirror,
    ):
        for server in (upstream, mirror):
            threading.Thread(target=server.serve_forever, daemon=True).start()
        catalogue.entries()["small"].urls.append(f"http://127.0.0.1:{upstream.server_port}/small/")
        get(f"http://127.0.0.1:{mirror.server_port}", tmp_path / "out.gz")
        for server in (upstream, mirror):
            server.shutdown()
    assert fetch.checksum(tmp_path / "out.gz") == catalogue.lookup("small")[0].files[NAMES[0]]


def test_a_copy_gzipped_anew_passes(published, tmp_path):
    path = published[0] / "small" / NAMES[0]
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()), compresslevel=1, mtime=1))
    get(published[0], tmp_path / "out.gz")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda b: b[:-20], r"truncated or damaged"),
        (lambda b: gzip.compress(gzip.decompress(b)[:-1] + b"\x00"), "not the published file"),
        (lambda b: b"not gzip at all", "truncated or damaged"),
    ],
)
def test_a_bad_file_in_the_mirror_is_refused(published, tmp_path, damage, message):
    path = published[0] / "small" / NAMES[0]
    path.write_bytes(damage(path.read_bytes()))
    (tmp_path / "out.gz").write_bytes(b"earlier")
    with pytest.raises(DataError, match=message):
        get(published[0], tmp_path / "out.gz")
    assert (tmp_path / "out.gz").read_bytes() == b"earlier"
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("code", [errno.ENAMETOOLONG, errno.ESTALE, errno.EACCES])
def test_a_mirror_that_the_system_refuses_is_a_place_that_fails(published, tmp_path, monkeypatch, code):
    """A name that is too long, a stale mount, no permission: the publisher is asked next."""
    catalogue.entries()["small"].urls[:] = [(published[0] / "small").as_uri()]
    is_file = Path.is_file

    def refused(path):
        if path.is_relative_to(tmp_path / "gone"):
            raise OSError(code, os.strerror(code), str(path))
        return is_file(path)

    monkeypatch.setattr(Path, "is_file", refused)
    get(tmp_path / "gone", tmp_path / "out.gz")
    assert (tmp_path / "out.gz").read_bytes() == (published[0] / "small" / NAMES[0]).read_bytes()
    catalogue.entries()["small"].urls.clear()
    (tmp_path / "out.gz").unlink()
    with pytest.raises(DataError, match=os.strerror(code)):
        get(tmp_path / "gone", tmp_path / "out.gz")


def test_a_download_is_kept_beside_its_target_and_a_full_disk_is_named(published, tmp_path, monkeypatch):
    """TMPDIR may be smaller than a raw file."""
    seen = []

    def full(address, scratch):
        seen.append(scratch)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(fetch, "_get", full)
    with pytest.raises(OSError, match=f"cannot write {tmp_path / 'raw' / 'out.gz'}: No space left"):
        get(published[0], tmp_path / "raw" / "out.gz")
    assert len(seen) == 1 and seen[0].is_relative_to(tmp_path / "raw")
    assert not list((tmp_path / "raw").iterdir())


def test_without_mirror_and_network_the_error_says_what_to_do(published, tmp_path):
    (published[0] / "small" / NAMES[0]).unlink()
    for mirror in (published[0], None):
        with pytest.raises(DataError) as error:
            get(mirror, tmp_path / "raw" / NAMES[0])
        text = str(error.value)
        assert f"small/{NAMES[0]} could not be fetched" in text
        assert "http://127.0.0.1:9/" in text and str(tmp_path / "raw" / NAMES[0]) in text
        assert "UAE_DATA_MIRROR" in text
        assert (f"{published[0]}/small/{NAMES[0]}: no such file" in text) is (mirror is not None)


def test_prepare_and_load(published, tmp_path):
    mirror, arrays = published
    prepared.prepare("small", mirror / "small", tmp_path / "p.safetensors")
    data = prepared.load(tmp_path / "p.safetensors")
    np.testing.assert_array_equal(data.x_train[:, 0], arrays[0])
    np.testing.assert_array_equal(data.y_test, arrays[3])
    assert data.x_test.dtype == np.uint8 and data.y_train.dtype == np.int64
    assert (data.metadata["dataset"], data.metadata["variant"]) == ("small", "small")
    assert data.unit("train").max() <= 1

    prepared.prepare("small@4", mirror / "small", tmp_path / "q.safetensors")
    part = prepared.load(tmp_path / "q.safetensors")
    assert part.x_train.shape == (4, 1, 4, 4) and len(part.x_test) == 5
    assert part.metadata["title"] == "Small, 4 of 12 training samples"
    rows = [np.flatnonzero((data.x_train == x).all((1, 2, 3)))[0] for x in part.x_train]
    assert rows == sorted(set(rows))
    np.testing.assert_array_equal(part.y_train, data.y_train[rows])


@pytest.mark.parametrize("damage", ["truncated", "tampered", "missing"])
def test_a_bad_raw_file_is_named(published, tmp_path, damage):
    path = published[0] / "small" / NAMES[1]
    if damage == "missing":
        path.unlink()
    else:
        content = path.read_bytes()
        path.write_bytes(content[:-9] if damage == "truncated" else gzip.compress(b"other"))
    with pytest.raises(DataError, match=NAMES[1]):
        prepared.prepare("small", published[0] / "small", tmp_path / "p.safetensors")
    assert not (tmp_path / "p.safetensors").exists()


def test_a_changed_prepared_file_is_refused(published, tmp_path):
    path = tmp_path / "p.safetensors"
    prepared.prepare("small", published[0] / "small", path)
    arrays, metadata = storage.read_tensors(path)
    arrays["x_train"] = arrays["x_train"] ^ 1
    storage.write_tensors(path, arrays, metadata)
    with pytest.raises(BadFile, match=r"p\.safetensors: the content does not have the checksum"):
        prepared.load(path)


@pytest.mark.parametrize(
    "content", [b"\0\0\x09\x03" + b"\0" * 12, b"\0\0\x08\x03\0\0\0\x02\0\0\0\x02\0\0\0\x02\0"]
)
def test_a_file_that_is_not_idx(tmp_path, content):
    path = tmp_path / NAMES[0]
    path.write_bytes(gzip.compress(content))
    with pytest.raises(DataError, match=NAMES[0]):
        readers.idx(catalogue.entries()["mnist"], *(tmp_path / name for name in NAMES))


@pytest.mark.parametrize(
    "name",
    [
        "no-such-set",
        "mnist@0",
        "mnist@x",
        "mnist@60001",
        "mnist+noise-0",
        "mnist+rotation+flip",
        "mnist+flip@9",
    ],
)
def test_an_unknown_data_name(name):
    with pytest.raises(DataError, match=re.escape(name.partition("@")[0])):
        catalogue.lookup(name)


def test_the_parts_of_a_data_name():
    name = "svhn@10000+flip+rotation+noise-0.01"
    assert catalogue.parse(name) == ("svhn", 10_000, True, True, 0.01)
    assert catalogue.folder(name) == "svhn" and catalogue.lookup(name)[0].title == "SVHN"
    assert catalogue.describe(name) == (
        "SVHN, 10,000 of 73,257 training samples, and of each a copy with random flips and rotation "
        "by up to 10° and Gaussian noise of σ = 0.01"
    )


def test_a_mirror_with_a_folder_of_another_name(published, tmp_path, monkeypatch):
    mirror, _ = published
    entry = catalogue.lookup("small")[0].model_copy(update={"mirror_folder": "elsewhere", "urls": []})
    monkeypatch.setattr(catalogue, "entries", lambda: {"small": entry})
    with pytest.raises(
        DataError, match=f"no upstream address and no mirror is set(.|\n)*elsewhere/{NAMES[0]}"
    ):
        get(None, tmp_path / "out.gz")
    (mirror / "small").rename(mirror / "elsewhere")
    get(mirror, tmp_path / "out.gz")
    prepared.prepare("small", mirror / "elsewhere", tmp_path / "p.safetensors")
    assert prepared.load(tmp_path / "p.safetensors").metadata["source"] == "mirror"


def test_a_file_without_a_published_checksum_is_taken_and_its_checksum_logged(
    published, tmp_path, monkeypatch, caplog
):
    found = catalogue.lookup("small")[0]
    entry = found.model_copy(update={"files": found.files | {NAMES[0]: None}})
    monkeypatch.setattr(catalogue, "entries", lambda: {"small": entry})
    get(published[0], tmp_path / "out.gz")
    assert f"{NAMES[0]}: no published checksum" in caplog.text and found.files[NAMES[0]] in caplog.text


def test_an_archive_s_checksum_is_of_the_file_as_it_is(tmp_path):
    content = gzip.compress(b"archive")
    (tmp_path / "a.tar.gz").write_bytes(content)
    assert fetch.checksum(tmp_path / "a.tar.gz") == hashlib.sha256(content).hexdigest()
    (tmp_path / "a.gz").write_bytes(content)
    assert fetch.checksum(tmp_path / "a.gz") == hashlib.sha256(b"archive").hexdigest()


def test_the_embedded_digits_are_the_real_ones(tmp_path):
    prepared.prepare("mnist-5k", tmp_path, tmp_path / "p.safetensors")
    data = prepared.load(tmp_path / "p.safetensors")
    assert data.x_train.shape == (4000, 1, 28, 28) and data.x_test.shape == (1000, 1, 28, 28)
    counts = np.bincount(np.concatenate([data.y_train, data.y_test]))
    assert counts.tolist() == [500] * 10
    # MNIST's pixels have mean 0.1307 and standard deviation 0.3081: the constants of every tutorial.
    pixels = np.concatenate([data.x_train, data.x_test]) / 255
    assert abs(pixels.mean() - 0.1307) < 0.002 and abs(pixels.std() - 0.3081) < 0.002
    assert data.metadata["variant"] == "mnist-5k" and data.metadata["source"] == "embedded"


def test_a_download_that_fails_keeps_the_secret_of_its_address(tmp_path):
    address = "http://me:hidden@127.0.0.1:9/weights.pth"  # the port of `discard`: nobody listens
    with pytest.raises(DataError, match=r"http://127\.0\.0\.1:9/weights\.pth") as error:
        fetch.download(address, tmp_path)
    assert "hidden" not in str(error.value)


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
