"""Slots of GPUs: one job a slot, whoever is killed and when; stand-in devices by CUDA_VISIBLE_DEVICES."""

from __future__ import annotations

import os
import random
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from uae import gpus
from uae.errors import InputError

ROOT = Path(__file__).parents[2]
# A job: takes a slot, says which, and holds it until it is told to end, or is killed.
JOB = """
import sys
from pathlib import Path
from uae import gpus
name = gpus.take(Path(sys.argv[1]))
assert "torch" not in sys.modules
print(name, flush=True)
sys.stdin.readline()
"""


class Job:
    def __init__(self, folder, **environment):
        clean = {key: value for key, value in os.environ.items() if key not in (*gpus.BATCH, gpus.SHARE)}
        self.process = subprocess.Popen(
            [sys.executable, "-c", JOB, str(folder)],
            env=clean | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def device(self) -> str:
        """The device that it took; waits for it."""
        return self.process.stdout.readline().strip()

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def end(self):
        self.process.communicate("\n", timeout=60)


@pytest.fixture
def jobs():
    """Started jobs, all ended after the test."""
    started: list[Job] = []
    yield started
    for job in started:
        if job.process.poll() is None:
            job.kill()


@pytest.fixture
def alone(monkeypatch):
    for name in (*gpus.BATCH, gpus.SHARE, gpus.VISIBLE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(gpus, "_held", [])
    yield
    for descriptor in gpus._held:
        os.close(descriptor)


def test_no_slot_is_lost_or_held_twice_under_twenty_kills(tmp_path, jobs):
    """Four devices, and always four jobs that hold one and one that waits; 20 holders are killed."""
    four, chosen = {gpus.VISIBLE: "0,1,2,3"}, random.Random(0)
    holders: dict[str, Job] = {}
    for _ in range(4):
        jobs.append(Job(tmp_path, **four))
        holders[jobs[-1].device()] = jobs[-1]
    assert set(holders) == {"0", "1", "2", "3"}
    for _ in range(20):
        waiting = Job(tmp_path, **four)
        jobs.append(waiting)
        assert "waiting for a GPU" in waiting.process.stderr.readline()
        assert len(holders) == 4 and all(job.process.poll() is None for job in holders.values())
        freed = chosen.choice(sorted(holders))
        holders.pop(freed).kill()
        taken = waiting.device()
        assert taken == freed  # no other was free, and it was not lost
        holders[taken] = waiting
    for job in holders.values():
        job.end()
    jobs.append(Job(tmp_path, **four))
    assert jobs[-1].device() == "0"


def test_many_jobs_at_once_never_share_a_slot(tmp_path, jobs):
    """Eight jobs for three devices; each ends when it has said its device, and then leaves it to another."""
    jobs += [Job(tmp_path, **{gpus.VISIBLE: "a,b,c"}) for _ in range(8)]
    ended, running = [], {}
    deadline = time.monotonic() + 120
    pending = list(jobs)
    for job in jobs:
        os.set_blocking(job.process.stdout.fileno(), False)
    while (pending or running) and time.monotonic() < deadline:
        for job in list(pending):
            if line := job.process.stdout.readline().strip():
                assert line not in running, f"{line} has two holders"
                running[line] = job
                pending.remove(job)
        if running:
            name, job = running.popitem()
            job.end()
            ended.append(name)
        time.sleep(0.02)
    assert len(ended) == 8 and set(ended) <= {"a", "b", "c"}


def test_a_share_of_two_fills_every_device_first(tmp_path, jobs):
    shared = {gpus.VISIBLE: "0,1", gpus.SHARE: "2"}
    taken = []
    for _ in range(4):
        jobs.append(Job(tmp_path, **shared))
        taken.append(jobs[-1].device())
    assert taken[:2] == ["0", "1"] and sorted(taken) == ["0", "0", "1", "1"]
    jobs.append(Job(tmp_path, **shared))
    assert "gpu_share: 2" in jobs[-1].process.stderr.readline()


def test_a_child_of_a_killed_job_does_not_keep_its_slot(tmp_path, jobs):
    """The lock is not inherited by programs that a job starts."""
    code = JOB.replace(
        "print(",
        "import subprocess; subprocess.Popen(['sleep', '60'], stdin=-3, stdout=-3, stderr=-3)\nprint(",
    )
    environment = os.environ | {gpus.VISIBLE: "0"}
    first = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], env=environment, stdin=-1, stdout=-1, text=True
    )
    assert first.stdout.readline().strip() == "0"
    first.kill()
    first.wait()
    jobs.append(Job(tmp_path, **{gpus.VISIBLE: "0"}))
    assert jobs[-1].device() == "0"


@pytest.mark.parametrize(
    ("value", "expected"),
    [("", []), ("3", ["3"]), ("2, 0", ["2", "0"]), ("GPU-1a,MIG-2/3/4", ["GPU-1a", "MIG-2/3/4"]),
     ("0,0,1", ["0", "1"]), ("1,-1,2", ["1"]), ("-1", [])],
)  # fmt: skip
def test_the_devices_are_those_that_cuda_would_see(value, expected):
    """CUDA's rules: an entry of -1 hides itself and what follows."""
    assert gpus.devices({gpus.VISIBLE: value}) == expected


def test_a_batch_job_keeps_to_its_own_devices(tmp_path, alone, monkeypatch):
    """Slurm numbers the devices of each job from 0: device 0 of two jobs is not one device."""
    monkeypatch.setenv(gpus.VISIBLE, "0")
    assert gpus.take(tmp_path) == "0"
    for job in ("11", "12"):
        monkeypatch.setenv("SLURM_JOB_ID", job)
        assert gpus.take(tmp_path) == "0"  # does not wait for another job's
    monkeypatch.setenv("SLURM_JOB_ID", "13")
    monkeypatch.setenv(gpus.VISIBLE, "0,1")  # an allocation of several, in which Snakemake runs
    assert gpus.take(tmp_path) == "0"
    monkeypatch.setenv(gpus.VISIBLE, "0,1")
    assert gpus.take(tmp_path) == "1"


def test_slurms_choice_stands_where_it_lists_no_devices(tmp_path, alone, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "11")
    assert gpus.take(tmp_path) is None
    assert gpus.VISIBLE not in os.environ and not list(tmp_path.iterdir())


def test_without_a_list_the_driver_counts_the_devices(alone, monkeypatch):
    class Counted:
        stdout = "3\n"

    monkeypatch.setattr(subprocess, "run", lambda *_, **__: Counted)
    assert gpus.devices() == ["0", "1", "2"]


def test_the_driver_is_asked_in_a_process_apart(alone):
    command = [sys.executable, "-P", str(Path(gpus.gpu.__file__))]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert int(said) == len(gpus.devices())


def test_the_folder_of_the_locks_is_the_users_alone(tmp_path, alone, monkeypatch):
    monkeypatch.setenv(gpus.VISIBLE, "0")
    monkeypatch.setattr(gpus.tempfile, "gettempdir", lambda: str(tmp_path))
    gpus.take()
    (folder,) = tmp_path.iterdir()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    folder.chmod(0o777)
    with pytest.raises(InputError, match="only this user can write to"):
        gpus.take()
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    (tmp_path / "elsewhere").mkdir()
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="only this user can write to"):
        gpus.take()


def test_without_locks_it_says_so(tmp_path, alone, monkeypatch):
    monkeypatch.setenv(gpus.VISIBLE, "0")
    monkeypatch.setattr(gpus.locks, "lock", lambda descriptor: None)
    with pytest.raises(InputError, match="no locks"):
        gpus.take(tmp_path)


def test_uae_run_takes_its_slot_before_it_imports_torch(tmp_path):
    code = (
        "import sys; from uae.cli import app\n"
        "app(['run', '[]', '--device', sys.argv[1]], standalone_mode=False)\n"
        "assert 'torch' not in sys.modules"
    )
    environment = os.environ | {gpus.VISIBLE: "7", "TMPDIR": str(tmp_path)}
    for device, expected in (("cpu", []), ("cuda", ["7-0.lock"])):
        subprocess.run([sys.executable, "-c", code, device], env=environment, check=True)
        assert [path.name for path in tmp_path.glob("uae-gpus-*/*")] == expected


def test_snakemake_says_where_more_jobs_are_asked_for_than_there_are_slots():
    def said(*config):
        command = [sys.executable, "-m", "snakemake", "-n", "--cores", "1", "--resources", "gpu=4"]
        command += ["--config", "device=cuda", "only=coil-20/concrete", *config]
        run = subprocess.run(
            command,
            cwd=ROOT,
            env=os.environ | {gpus.VISIBLE: "0,1"},
            capture_output=True,
            text=True,
            check=True,
        )
        return run.stdout + run.stderr

    assert "the GPUs have only 2 slots" in said() and "slots" not in said("gpu_share=2")
