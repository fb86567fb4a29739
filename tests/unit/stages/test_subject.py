"""The files of a job, as experiments see them."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch

from tests.unit.stages.test_supervised import write_data
from uae import checkpoints, models, records
from uae.attacks import AttackResult
from uae.data import prepared
from uae.errors import BadFile
from uae.stages.evaluate.subject import Subject

ROW = "mnist/dense/original/seed0"


@pytest.fixture
def folder(tmp_path):
    """The data of a scale and an untrained model."""
    write_data(tmp_path / "data.safetensors", count=6)
    provenance = records.Clock().provenance({}, "CPU, 1 threads").model_dump()
    known = {"network": "dense", "arguments": {"latent": 3}, "shape": [1, 16, 16], "settings": {}, "seed": 0}
    known |= {"method": "original", "n_train": 6, "steps": 0, "history": [], "provenance": provenance}
    model = models.build("dense", (1, 16, 16), latent=3)
    checkpoints.save(tmp_path / f"checkpoints/{ROW}.safetensors", model, known)
    return tmp_path


def subject(folder, **inputs):
    target = folder / f"records/reconstruction/{ROW}.json"
    files = {"data": folder / "data.safetensors", "checkpoint": folder / f"checkpoints/{ROW}.safetensors"}
    return Subject(target, settings={}, **files, **inputs)


def test_samples_labels_and_originals(folder):
    found, source = subject(folder), prepared.load(folder / "data.safetensors")
    for part in ("train", "test"):
        assert torch.equal(found.x(part), source.unit(part)) and found.x(part) is found.x(part)
        assert found.y(part).tolist() == getattr(source, f"y_{part}").tolist()
    ones = torch.ones(2)
    result = AttackResult(ones, ones.bool(), ones, ones, ones, ones.long(), torch.tensor([4, 1]))
    assert torch.equal(found.originals(result, "train"), source.unit("train")[[4, 1]])
    assert found.sets() == []


def test_a_job_s_files_are_freed_with_it(folder):
    """One process evaluates all models of a row."""
    found = subject(folder)
    found.x("train"), found.y("test")
    alive = weakref.ref(found)
    del found
    gc.collect()
    assert alive() is None


def test_files_that_do_not_belong_together_are_refused_before_anything_is_measured(folder):
    """Examples of another training of the model."""
    ones, place = torch.ones(2), f"checkpoints/{ROW}.safetensors"
    inputs = {place: {"content": "of another training", "settings": None}}
    result = AttackResult(
        torch.rand(2, 1, 16, 16),
        ones.bool(),
        ones,
        ones,
        ones,
        ones.long(),
        torch.arange(2),
        metadata={"inputs": inputs},
    )
    path = folder / "uae/mnist/dense/mine-uae/seed0.safetensors"
    result.save(path)
    model, known = checkpoints.load(folder / place)
    known |= {"file": place, "content": "of this training"}
    checkpoints.save(folder / place, model, known)
    with pytest.raises(BadFile, match="seed0"):
        subject(folder, uae=path)
