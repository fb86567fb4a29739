"""The memory that a process may take."""

from __future__ import annotations

import functools
import resource
import subprocess
import sys

import pytest
import torch

from uae import gpus, memory, records


def test_the_memory_that_is_available():
    cpu = torch.device("cpu")
    assert 0 < memory.available(cpu) < 2**50
    program = "import torch; from uae import memory; print(memory.available(torch.device('cpu')))"
    limit = 12 * 2**30
    limited = functools.partial(resource.setrlimit, resource.RLIMIT_AS, (limit, limit))
    output = subprocess.check_output([sys.executable, "-c", program], preexec_fn=limited, text=True)
    assert 0 < float(output) < limit


@pytest.mark.parametrize("version", [1, 2])
def test_the_memory_of_a_control_group_is_the_least_of_it_and_its_parents(tmp_path, monkeypatch, version):
    root = tmp_path / "memory" if version == 1 else tmp_path
    limit, used = ("limit_in_bytes", "usage_in_bytes") if version == 1 else ("max", "current")
    inner = root / "job" / "step"
    inner.mkdir(parents=True)
    for folder, most, taken in (
        (inner, "max" if version == 2 else str(2**62), 10),
        (inner.parent, "1000", 300),
    ):
        (folder / f"memory.{limit}").write_text(f"{most}\n")
        (folder / f"memory.{used}").write_text(f"{taken}\n")
        (folder / "memory.stat").write_text("total_inactive_file 50\ninactive_file 50\n")
    groups = tmp_path / "groups"
    groups.write_text("5:cpu:/x\n4:memory:/job/step\n" if version == 1 else "0::/job/step\n")
    read = memory.Path
    monkeypatch.setattr(memory, "CGROUPS", tmp_path)
    monkeypatch.setattr(memory, "Path", lambda path: groups if path == "/proc/self/cgroup" else read(path))
    assert memory._of_control_groups() == 1000 - 300 + 50


GIB = 2**30


@pytest.mark.parametrize(
    ("share", "unused", "reserved", "allocated", "expected"),
    [
        (None, 70, 0, 0, 70),
        (None, 1, 60, 2, 59),  # after a training: PyTorch keeps what it freed
        ("1", 10, 0, 0, 10),
        ("4", 78, 0, 0, 20),  # all jobs start at once: each has a quarter of the device
        ("4", 60, 18, 15, 5),
        ("4", 3, 0, 0, 3),
        ("4", 60, 30, 25, 0),
    ],
)
def test_the_memory_of_a_gpu(share, unused, reserved, allocated, expected, monkeypatch):
    """GiB on a device of 80."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (unused * GIB, 80 * GIB))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: reserved * GIB)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: allocated * GIB)
    monkeypatch.delenv(gpus.SHARE, raising=False)
    if share is not None:
        monkeypatch.setenv(gpus.SHARE, share)
    device = torch.device("cuda")
    assert memory.free(device) == memory.available(device) == expected * GIB
    assert memory.free(torch.device("cpu")) is None


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_what_was_freed_on_a_gpu_is_free():
    device = torch.device("cuda", torch.cuda.current_device())
    before = memory.free(device)
    kept = torch.empty(2**28, dtype=torch.uint8, device=device)
    taken = memory.free(device)
    del kept
    assert before - taken == pytest.approx(2**28, rel=0.1)
    assert memory.free(device) == pytest.approx(before, abs=2**26)


def test_a_job_s_peak_is_not_that_of_an_earlier_job_of_its_process(monkeypatch):
    peak = 100.0 * 2**20
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: peak)

    def reset():
        nonlocal peak
        peak = 0.0

    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", reset)
    clock = records.Clock()
    peak = max(peak, 5.0 * 2**20)
    assert clock.provenance({}, "a GPU").peak_memory_mib == 5
