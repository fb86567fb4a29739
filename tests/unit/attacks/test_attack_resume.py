"""An attack that is killed goes on from the last chunk that was saved, and ends as an unbroken one."""

import errno
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from uae import MINE, MinMaxAttack, locks, models, records, storage
from uae.attacks import AttackResult, PenaltyAttack, constrained
from uae.errors import InputError
from uae.losses import Margin, Reconstruction
from uae.sampling import RandomSampling
from uae.stages.resume import ATTACK, resuming, written

IMAGES = torch.rand(7, 1, 8, 8, generator=torch.Generator().manual_seed(1))
SAMPLING = MINE(inner_steps=2, samples=RandomSampling(count=4, dim=8))


class Killed(Exception):
    pass


def autoencoder():
    torch.manual_seed(0)
    return models.build("dense", (1, 8, 8), latent=4).eval()


def minmax(images=IMAGES, eps=1.0, **options):
    attack = MinMaxAttack(steps=3, eps=eps, mi=SAMPLING, batch_size=2)
    return attack(Reconstruction(autoencoder()), images, **{"seed": 5, "trace": True} | options)


def penalty(**options):
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 3)).eval()
    labels = model(IMAGES).argmax(1).detach()
    attack = PenaltyAttack(steps=3, searches=2, mi=SAMPLING, maximize_mi=True, batch_size=2)
    return attack(Margin(model, labels), IMAGES, seed=5, trace=True, **options)


def until(samples: int, seen: list[int]):
    def progress(done: int, _: int) -> None:
        seen.append(done)
        if done > samples:
            raise Killed

    return progress


@pytest.fixture(autouse=True)
def _save_every_chunk(monkeypatch):
    monkeypatch.setattr(constrained, "SECONDS_BETWEEN_SAVES", -1.0)
    monkeypatch.setattr(constrained, "SAVING_SHARE", float("inf"))


@pytest.mark.parametrize("attack", [minmax, penalty])
def test_it_goes_on_and_ends_as_an_unbroken_one(attack, tmp_path):
    path, seen = tmp_path / "x.partial", []
    with pytest.raises(Killed):
        attack(resume=path, tag="a", progress=until(4, []))
    found = attack(resume=path, tag="a", progress=until(7, seen))
    assert seen == [6, 7]  # four were done and saved, the fifth and sixth done but not
    expected = attack()
    for name, tensor in expected.tensors().items():
        torch.testing.assert_close(getattr(found, name), tensor, rtol=0, atol=0, equal_nan=True)
    assert found.metadata == expected.metadata


@pytest.mark.parametrize(
    ("shape", "steps", "size"), [((1, 28, 28), 9000, 64), ((3, 32, 32), 9000, 16), ((3, 32, 32), 40, 64)]
)
def test_of_a_long_attack_a_kill_costs_fewer_images(shape, steps, size, monkeypatch):
    """As many pixels times steps as of 64 of MNIST's images through 9,000 steps."""
    sizes = []

    def search(self, problem, kept):
        sizes.append(len(problem.x))
        raise Killed

    monkeypatch.setattr(MinMaxAttack, "_search", search)
    torch.manual_seed(0)
    loss = Reconstruction(models.build("convolutional", shape).eval())
    loss.threaded = False
    with pytest.raises(Killed):
        MinMaxAttack(steps=steps, mi=MINE())(loss, torch.rand(80, *shape))
    assert sizes == [size]


def test_the_clock_of_a_stage_gets_the_seconds_before(tmp_path):
    target, clock = tmp_path / "set.safetensors", records.Clock()
    start = clock.start
    options = resuming(target, ATTACK, clock, "settings")
    assert clock.start == start
    with pytest.raises(Killed):
        minmax(**options, progress=until(4, []))
    left = AttackResult.load(options["resume"])
    left.metadata["seconds"] += 1000
    left.save(options["resume"])
    assert resuming(target, ATTACK, clock, "settings") == options
    assert 1000 < start - clock.start < 1060
    with pytest.raises(Killed):  # saved again after two samples more
        minmax(**options, progress=until(6, []))
    assert 1000 < AttackResult.load(options["resume"]).metadata["seconds"] < 1060
    resuming(target, ATTACK, other := records.Clock(), "other settings")
    assert other.start > start


def test_it_asks_for_a_tag(tmp_path):
    with pytest.raises(ValueError, match="needs a tag"):
        minmax(resume=tmp_path / "x.partial")


def test_another_attack_or_half_a_file_is_not_taken(tmp_path, caplog):
    path = tmp_path / "x.partial"
    with pytest.raises(Killed):
        minmax(resume=path, tag="a", progress=until(4, []))
    kept, seen = path.read_bytes(), []
    with caplog.at_level(logging.WARNING):
        minmax(resume=path, tag="b", progress=until(7, seen))
    assert seen == [2, 4, 6, 7]
    assert "x.partial: has 4 samples of an attack with other settings" in caplog.text
    caplog.clear()
    path.write_bytes(kept[: len(kept) // 2])
    with caplog.at_level(logging.WARNING):
        minmax(resume=path, tag="a", progress=until(7, seen))
    assert seen[4:] == [2, 4, 6, 7]
    assert "x.partial" in caplog.text and "restarts" in caplog.text


@pytest.mark.parametrize("kind", ["tensors", "result", "text", "half", "folder"])
def test_a_file_that_is_no_progress_is_refused_and_left_alone(kind, tmp_path):
    path = tmp_path / "precious.safetensors"
    if kind == "folder":
        path.mkdir()
    elif kind == "text":
        path.write_text("buy milk")
    else:
        save_file({"precious": IMAGES}, path) if kind != "result" else minmax().save(path)
        if kind == "half":
            path.write_bytes(path.read_bytes()[:100])
    before = path.is_dir() or path.read_bytes()
    with pytest.raises(ValueError, match=r"precious\.safetensors: is not the progress"):
        minmax(resume=path, tag="a")
    assert (path.is_dir() or path.read_bytes()) == before


@pytest.mark.parametrize("name", ["x.partial", "x.safetensors"])
def test_progress_of_another_tag_is_replaced_under_any_name(name, tmp_path):
    path = tmp_path / name
    for tag in "ab":
        with pytest.raises(Killed):
            minmax(resume=path, tag=tag, progress=until(4, []))
        assert AttackResult.load(path).metadata["tag"] == tag


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 6},
        {"eps": 0.05},
        {"trace": False},
        {"images": IMAGES[:6]},
        {"images": IMAGES.flip(0)},
        {"index": torch.arange(7) + 1},
    ],
    ids=str,
)
def test_one_tag_for_two_attacks_does_not_mix_them(change, tmp_path):
    path = tmp_path / "x.partial"
    with pytest.raises(Killed):
        minmax(resume=path, tag="a", progress=until(4, []))
    found, expected = minmax(resume=path, tag="a", **change), minmax(**change)
    assert torch.equal(found.adv, expected.adv) and (found.trace is None) == (expected.trace is None)


def pixels(start: int):
    """A sampler of 8 samples of 4 pixels each, from one pixel on; all of them have one name."""
    return lambda x: x.flatten(1)[:, start : start + 32].unflatten(1, (8, 4))


@pytest.mark.parametrize("images", [IMAGES, torch.zeros_like(IMAGES)], ids=["noise", "black"])
def test_one_tag_for_two_samplers_does_not_mix_them(images, tmp_path):
    """Also where the images do not tell the samplers apart, as at black edges."""

    def call(start, **options):
        mine = MINE(inner_steps=2, samples=pixels(start))
        attack = MinMaxAttack(steps=3, mi=mine, batch_size=2)
        return attack(Reconstruction(autoencoder()), images, seed=5, **options)

    path, seen = tmp_path / "x.partial", []
    with pytest.raises(Killed):
        call(0, resume=path, tag="a", progress=until(4, []))
    found, expected = call(32, resume=path, tag="a", progress=until(7, seen)), call(32)
    assert seen == [2, 4, 6, 7] and torch.equal(found.adv, expected.adv)
    with pytest.raises(Killed):
        call(32, resume=path, tag="b", progress=until(4, []))
    call(32, resume=path, tag="b", progress=until(7, seen))
    assert seen[4:] == [6, 7]


class Elsewhere(torch.Tensor):
    """A tensor of the CPU that says that it is on a GPU."""

    device = property(lambda self: torch.device("cuda", 0))


def test_an_attack_is_not_resumed_on_another_device():
    attack, index = MinMaxAttack(steps=3, mi=None), torch.arange(7)
    here, same, there = (
        attack._digest(x, index, 0, False, None)
        for x in (IMAGES, IMAGES.clone(), IMAGES.as_subclass(Elsewhere))
    )
    assert here == same != there


def held(target: Path, **environment: str) -> subprocess.Popen:
    """A process that makes `target`, until it gets a line."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD.format(target=str(target))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | environment,
    )
    assert process.stdout.readline() == b"there\n"
    return process


HOLD = """
from pathlib import Path
from uae import records
from uae.stages.resume import ATTACK, resuming
resuming(Path({target!r}), ATTACK, records.Clock())
print("there", flush=True)
input()
"""


def test_a_job_that_another_process_still_makes_is_refused(tmp_path):
    """What Snakemake started lives on when Snakemake alone is killed, whatever its TMPDIR is."""
    target, clock = tmp_path / "new" / "set.safetensors", records.Clock()
    (tmp_path / "elsewhere").mkdir()
    left = held(target, TMPDIR=str(tmp_path / "elsewhere"))
    lock = target.with_name(".set.safetensors.lock")
    assert lock.stat().st_mode & 0o777 == 0o600 and lock.read_text() == str(left.pid)
    (tmp_path / "link.safetensors").symlink_to(target)
    for spelling in (
        target,
        tmp_path / "elsewhere" / ".." / "new" / target.name,
        tmp_path / "link.safetensors",
    ):
        with pytest.raises(InputError, match=rf"set.safetensors: process {left.pid} is writing it"):
            resuming(spelling, ATTACK, clock)
    resuming(tmp_path / "new" / "other.safetensors", ATTACK, clock)
    left.communicate(b"\n")
    assert not lock.exists()  # it ended by itself
    resuming(target, ATTACK, clock)
    resuming(target, ATTACK, clock)  # its own claim does not stand in a process's way
    target.touch()
    written(target)
    written(tmp_path / "new" / "other.safetensors")
    assert list(target.parent.iterdir()) == [target]


def test_a_lock_that_a_kill_left_is_taken_over(tmp_path):
    target = tmp_path / "new" / "set.safetensors"
    left = held(target)
    left.kill()
    left.communicate()
    lock = target.with_name(".set.safetensors.lock")
    assert lock.read_text() == str(left.pid)
    resuming(target, ATTACK, records.Clock())
    assert lock.read_text() == str(os.getpid())
    written(target)
    assert not lock.exists()


@pytest.mark.parametrize("kind", ["link", "dangling", "hard link", "folder", "pipe", "notes"])
def test_what_is_no_lock_is_refused_and_left_alone(tmp_path, kind):
    target, lock, victim = (
        tmp_path / name for name in ("set.safetensors", ".set.safetensors.lock", "victim")
    )
    victim.write_text("precious")
    {
        "link": lambda: lock.symlink_to(victim),
        "dangling": lambda: lock.symlink_to(tmp_path / "nowhere"),
        "hard link": lambda: os.link(victim, lock),
        "folder": lock.mkdir,
        "pipe": lambda: os.mkfifo(lock),
        "notes": lambda: lock.write_text("buy milk"),
    }[kind]()
    with pytest.raises((InputError, OSError), match=r"set\.safetensors"):
        resuming(target, ATTACK, records.Clock())
    assert victim.read_text() == "precious" and not (tmp_path / "nowhere").exists()
    assert kind != "notes" or lock.read_text() == "buy milk"
    written(target)
    assert lock.is_symlink() or lock.exists()


def test_a_file_system_without_locks_is_named_and_used(tmp_path, monkeypatch, caplog):
    def none(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(locks.fcntl, "flock", none)
    target = tmp_path / "set.safetensors"
    with caplog.at_level(logging.WARNING):
        resuming(target, ATTACK, records.Clock())
    assert caplog.messages == [f"{target}: its file system has no locks; do not start two runs that write it"]
    storage.write_text(target, "whole")
    written(target)
    assert list(tmp_path.iterdir()) == [target]


def test_a_lock_that_goes_while_it_is_awaited_is_made_anew(tmp_path, monkeypatch):
    """Between opening and locking, the process that had it may have deleted it."""
    target, lock = tmp_path / "set.safetensors", tmp_path / ".set.safetensors.lock"
    opened = []

    def deleted_by_another(path):
        opened.append(found := open_lock(path))
        if len(opened) == 1:
            path.unlink()
        return found

    open_lock = locks.open_lock
    monkeypatch.setattr(locks, "open_lock", deleted_by_another)
    resuming(target, ATTACK, records.Clock())
    assert len(opened) == 2 and locks.there(opened[1], lock)
    written(target)
