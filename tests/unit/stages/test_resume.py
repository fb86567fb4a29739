"""What a partial file must agree with, and what the record says of the processes before."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from uae import models, records, sources, storage
from uae.stages import resume
from uae.training import state as states


@pytest.fixture
def edit(monkeypatch):
    """A function after whose call a source file, by its path in the package, reads as edited."""
    resume._digests.cache_clear()
    digest, edited = storage.digest, []

    def changed(path):
        return "edited" if Path(path).resolve() in edited else digest(path)

    def edits(name):
        assert (sources.PACKAGE / name).is_file()
        edited.append((sources.PACKAGE / name).resolve())
        resume._digests.cache_clear()

    monkeypatch.setattr(storage, "digest", changed)
    yield edits
    resume._digests.cache_clear()


def tag(folder, code, *inputs):
    return resume.resuming(folder / "x.safetensors", code, records.Clock(), *inputs)["tag"]


ENGINES = [f"mine/engines/{name}.py" for name in ("numba", "simd", "triton", "convolution", "portable")]


@pytest.mark.parametrize("name", [*ENGINES, "projections.py", "sampling.py", "stages/attack.py"])
def test_an_attack_starts_again_after_an_edit_of_code_that_decides_it(tmp_path, edit, name):
    before = tag(tmp_path, resume.ATTACK)
    edit(name)
    assert tag(tmp_path, resume.ATTACK) != before


@pytest.mark.parametrize(
    "name",
    ["stages/train.py", "methods.py", "augmentation.py", "training/loop.py", "mine/engines/convolution.py"],
)
def test_a_training_starts_again_after_an_edit_of_code_that_decides_it(tmp_path, edit, name):
    before = tag(tmp_path, resume.TRAINING)
    edit(name)
    assert tag(tmp_path, resume.TRAINING) != before


@pytest.mark.parametrize("name", ["records.py", "cli/run.py", "paper/tables.py"])
def test_work_goes_on_after_an_edit_of_code_without_numbers(tmp_path, edit, name):
    before = [tag(tmp_path, code) for code in (resume.ATTACK, resume.TRAINING)]
    edit(name)
    assert [tag(tmp_path, code) for code in (resume.ATTACK, resume.TRAINING)] == before


def test_work_starts_again_with_another_pytorch_or_numba(tmp_path, monkeypatch):
    tags = {tag(tmp_path, resume.TRAINING)}
    for name in ("torch", "numba"):
        monkeypatch.setattr(records, "versions", lambda name=name: {name: "another"})
        tags.add(tag(tmp_path, resume.TRAINING))
    assert len(tags) == 3


def test_a_package_without_its_repository_has_the_same_tag(tmp_path):
    shutil.copytree(sources.PACKAGE, tmp_path / "site" / "uae", ignore=shutil.ignore_patterns("__pycache__"))
    program = (
        "import sys\nfrom pathlib import Path\n"
        "sys.modules |= dict.fromkeys(['grimp', 'snakemake'])\n"
        "from uae import records\nfrom uae.stages import resume\n"
        "for code in (resume.ATTACK, resume.TRAINING):\n"
        "    print(resume.resuming(Path('x'), code, records.Clock())['tag'].split()[0])\n"
    )
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "site")}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environment,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    here = [tag(tmp_path, code).split()[0] for code in (resume.ATTACK, resume.TRAINING)]
    assert done.stdout.split() == here


@pytest.mark.parametrize("call", ["ftruncate", "pwrite"])
def test_a_full_disk_is_named_and_leaves_no_lock_file(tmp_path, monkeypatch, call):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    target = tmp_path / "made" / "x.safetensors"
    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        with pytest.raises(OSError, match=f"cannot write {target}: No space left on device"):
            resume.resuming(target, resume.TRAINING, records.Clock())
    resume._release(target)  # as at the end of the process
    assert not target.parent.exists()


def test_the_record_names_the_threads_of_all_processes_that_did_the_work(tmp_path, monkeypatch):
    target, model = tmp_path / "x.safetensors", models.build("dense", (1, 8, 8))
    devices, seconds = [], []
    for threads in (2, 2, 1, 4):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        clock = records.Clock()
        options = resume.resuming(target, resume.TRAINING, clock, "settings")
        state = states.restore(options["resume"], options["tag"], model, [])
        made = clock.provenance({}, records.device_name("cpu"))
        devices.append(made.device)
        seconds.append(made.seconds)
        state.history, state.seconds = [*state.history, 0.5], state.seconds + 100
        states.save(options["resume"], options["tag"], model, [], state)
    assert state.history == [0.5] * 4  # every process went on from the one before
    assert [value // 100 for value in seconds] == [0, 1, 2, 3]
    assert devices == [
        "CPU, 2 threads",
        "CPU, 2 threads",
        "CPU, 1 and 2 threads",
        "CPU, 1 and 2 and 4 threads",
    ]
    clock = records.Clock()
    resume.resuming(target, resume.TRAINING, clock, "other settings")
    assert clock.provenance({}, "CPU, 4 threads").device == "CPU, 4 threads"
