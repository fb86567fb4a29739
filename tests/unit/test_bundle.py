"""A release bundle of tiny trainings, and the models that are loaded from it."""

import functools
import hashlib
import json
import subprocess
import sys
import threading
import zipfile
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
import yaml

import uae
from tools import release
from uae import checkpoints, storage
from uae.data import prepared
from uae.errors import BadFile, DataError, InputError
from uae.stages import evaluate, train

ROOT = Path(__file__).parents[2]
ROW = "mnist/convolutional"
TRAINING = {
    "training": "autoencoder", "network": "convolutional", "arguments": {"widths": [6, 4]}, "epochs": 2,
    "batch_size": 8, "lr": 1e-3, "loss": "mse", "optimizer": "adam",
}  # fmt: skip


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    """A checkpoint of the paper's scale, as the stages write it: two epochs on 16 images of noise."""
    folder = tmp_path_factory.mktemp("project")
    random = np.random.default_rng(0)
    x, y = random.integers(0, 256, (16, 1, 8, 8), dtype=np.uint8), np.arange(16) % 10
    data = folder / "data" / "prepared" / "mnist.safetensors"
    arrays = {"x_train": x, "y_train": y, "x_test": x, "y_test": y}
    digest = hashlib.sha256(b"".join(arrays[name].tobytes() for name in prepared.ARRAYS)).hexdigest()
    storage.write_tensors(
        data, arrays, {"dataset": "mnist", "variant": "mnist", "title": "MNIST", "sha256": digest}
    )
    place = folder / "results" / "paper"
    checkpoint = place / "checkpoints" / ROW / "original" / "seed0.safetensors"
    train.run(checkpoint, data=data, settings=TRAINING)
    record = place / "records" / "reconstruction" / ROW / "original" / "seed0.json"
    evaluate.run(record, data=data, checkpoint=checkpoint, original=checkpoint, settings=TRAINING)
    loss = uae.losses.Reconstruction(checkpoints.load(checkpoint)[0])
    images = torch.from_numpy(x).float() / 255
    uae.MinMaxAttack(steps=2)(loss, images, seed=0).save(
        place / "uae" / ROW / "mine-uae" / "seed0.safetensors"
    )
    return folder / "results"


@pytest.fixture(scope="module")
def bundle(results, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("bundle") / "0"
    command = [sys.executable, "tools/release.py", "--results", str(results), "--out", str(out)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    missing = [line.split(": ")[1] for line in run.stdout.splitlines() if line.startswith("missing")]
    assert missing == ["mnist/dense", "mnist/sparse", "mnist/classifier", "records"]
    return out


def test_the_bundle_has_what_was_there_and_its_checksums(bundle):
    names = {path.name for path in bundle.iterdir()}
    assert names == {
        f"uae_repro-{release.PROJECT['version']}-py3-none-any.whl",
        "mnist-convolutional.safetensors",
        "mnist-convolutional.md",
        "mnist-convolutional-uae-mine-uae.safetensors",
        "records.zip",
        "report.html",
        "index.json",
        ".zenodo.json",
        "SHA256SUMS",
    }
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=bundle, check=True)
    sums = (bundle / "SHA256SUMS").read_text().splitlines()
    assert {line.split()[1] for line in sums} == names - {"SHA256SUMS"}


def test_the_wheel_has_types_and_data_and_the_release_its_version(bundle):
    with zipfile.ZipFile(next(bundle.glob("*.whl"))) as wheel:
        names = set(wheel.namelist())
        about = wheel.read(next(name for name in names if name.endswith("METADATA"))).decode()
    assert {"uae/py.typed", "uae/data/catalogue.yaml", "uae/paper/reference/claims.yaml"} <= names
    assert f"Version: {release.PROJECT['version']}\n" in about
    bare = [
        line for line in about.splitlines() if line.startswith("Requires-Dist") and "extra ==" not in line
    ]
    assert {line.split()[1].partition(">")[0] for line in bare} == {"torch", "numpy", "safetensors"}


def test_the_card_says_data_licence_training_and_the_records_numbers(bundle, results):
    card = (bundle / "mnist-convolutional.md").read_text()
    record = json.loads((results / "paper/records/reconstruction" / ROW / "original/seed0.json").read_text())
    assert (
        f"| reconstruction, original, seed 0 | test_error | {record['metrics']['test_error']:.6g} |" in card
    )
    for words in (
        "16 of 60,000 training samples",
        "CC BY-SA 3.0",
        "Apache-2.0",
        "epochs 2",
        "lr 0.001",
        "| seed | 0 |",
    ):
        assert words in card, words
    assert "mnist-convolutional-uae-mine-uae.safetensors" in card


def test_the_card_takes_no_number_of_other_weights(results):
    (record,) = release.records.load(results / "paper" / "records")
    _, metadata = storage.read_tensors(results / "paper/checkpoints" / ROW / "original/seed0.safetensors")
    assert "No record" in release.card(ROW, metadata | {"content": 64 * "0"}, [record], [])


def test_the_deposit_is_described_as_the_citation_file_says(bundle):
    deposit = json.loads((bundle / ".zenodo.json").read_text())
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert deposit["title"] == citation["title"] and deposit["version"] == citation["version"]
    assert deposit["related_identifiers"][0]["identifier"] == "arXiv:2103.01895"


@pytest.fixture
def original(results):
    return checkpoints.load(results / "paper/checkpoints" / ROW / "original/seed0.safetensors")[0]


class Counting(SimpleHTTPRequestHandler):
    asked: ClassVar[list[str]] = []

    def do_GET(self):
        self.asked.append(self.path)
        super().do_GET()

    def log_message(self, *_):
        pass


@pytest.fixture
def address(bundle):
    Counting.asked.clear()
    handler = functools.partial(Counting, directory=str(bundle))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def same(model, original) -> None:
    x = torch.rand(3, 1, 8, 8)
    assert not model.training
    assert torch.equal(model(x), original(x))


def test_a_model_is_loaded_from_a_folder_and_from_the_environment(bundle, original, monkeypatch):
    same(uae.models.pretrained(ROW, bundle), original)
    monkeypatch.setenv("UAE_PRETRAINED", str(bundle))
    same(uae.models.pretrained(ROW), original)


def test_a_model_is_loaded_from_an_address_once(address, original, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for _ in range(2):
        same(uae.models.pretrained(ROW, address), original)
    assert Counting.asked.count("/mnist-convolutional.safetensors") == 1


def test_a_kept_file_that_was_changed_is_loaded_again(address, original, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    uae.models.pretrained(ROW, address)
    (kept,) = tmp_path.rglob("*.safetensors")
    kept.write_bytes(b"another")
    same(uae.models.pretrained(ROW, address), original)


@pytest.fixture
def damaged(bundle, tmp_path):
    """A copy of the bundle of which a test may change a part."""
    for path in bundle.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def test_a_damaged_file_is_refused_by_name(damaged):
    path = damaged / "mnist-convolutional.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(BadFile, match=r"mnist-convolutional\.safetensors: SHA-256 is"):
        uae.models.pretrained(ROW, damaged)
    path.write_bytes(content + b"more")
    with pytest.raises(BadFile, match="longer than"):
        uae.models.pretrained(ROW, damaged)
    path.unlink()
    with pytest.raises(DataError, match=r"mnist-convolutional\.safetensors"):
        uae.models.pretrained(ROW, damaged)


@pytest.mark.parametrize("file", ["../../etc/passwd", "/etc/passwd", "a/b.safetensors", "model.pt"])
def test_an_index_names_no_file_outside_the_bundle(damaged, file):
    index = json.loads((damaged / "index.json").read_text())
    index["models"][ROW]["file"] = file
    (damaged / "index.json").write_text(json.dumps(index))
    with pytest.raises(BadFile, match="not the index of a release bundle"):
        uae.models.pretrained(ROW, damaged)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"models": [1]}', '{"models": {"a": 1}}', "[" * 100_000])
def test_what_is_no_index_is_refused(tmp_path, text):
    (tmp_path / "index.json").write_text(text)
    with pytest.raises(BadFile, match="not the index of a release bundle"):
        uae.models.pretrained(ROW, tmp_path)


def test_what_is_not_there_is_said(bundle, tmp_path, monkeypatch):
    monkeypatch.delenv("UAE_PRETRAINED", raising=False)
    with pytest.raises(InputError, match="UAE_PRETRAINED"):
        uae.models.pretrained(ROW)
    with pytest.raises(InputError, match="has no model 'mnist/sparse'; it has mnist/convolutional"):
        uae.models.pretrained("mnist/sparse", bundle)
    with pytest.raises(DataError, match=r"index\.json"):
        uae.models.pretrained(ROW, tmp_path)
    with pytest.raises(DataError, match=r"http://127\.0\.0\.1:1/index\.json") as error:
        uae.models.pretrained(ROW, "http://user:secret@127.0.0.1:1")
    assert "secret" not in str(error.value)
