"""The memory that a process may take."""

from __future__ import annotations

import functools
import resource
import subprocess
import sys

import pytest
import torch

from uae import memory


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
