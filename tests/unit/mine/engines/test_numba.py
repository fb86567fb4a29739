"""The CPU's kernels against the portable path, at sizes that fill their blocks and sizes that don't."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numba
import pytest
import torch
from numba.core import caching

from uae import MINE, seeding
from uae.mine import Estimator
from uae.mine.engines import cache, gaussian, shuffle
from uae.mine.engines.cache import CheckedFiles


@pytest.mark.parametrize("hidden", [3, 10, 17])
@pytest.mark.parametrize(
    ("critic", "map_shape"), [("vanilla", None), ("released", None), ("released", (4, 7))]
)
def test_agrees_with_the_portable_path(shared, critic, map_shape, hidden):
    """Bound and gradient of two evaluations, the second with the state that the first left.

    Near a zero gradient Adam divides by little more than 1e-8, so rounding grows by up to lr / 1e-8.
    """
    x, z = torch.rand(2, 2, 5, 28, dtype=torch.float64, generator=torch.Generator().manual_seed(hidden))
    ours, theirs = (
        Estimator(
            MINE(critic, inner_steps=3, lr=1e-3, hidden=hidden, engine=engine),
            x,
            map_shape,
            7,
            torch.arange(2),
        )
        for engine in ("auto", "portable")
    )
    for _ in range(2):
        torch.testing.assert_close(ours.estimate(x, z), theirs.estimate(x, z), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("size", [64, 21])
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("standardize", [False, True])
def test_samples_agree_and_stay(shared, standardize, turned, size):
    """Those that fill their registers are read where they lie; turned ones are those of a convolution."""
    x, z = torch.rand(2, 3, 6, size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    z = z.mT.contiguous().mT if turned else z
    before = x.clone(), z.clone()
    ours, theirs = (
        Estimator(
            MINE(inner_steps=3, lr=1e-3, engine=engine), x, None, 7, torch.arange(3), standardize=standardize
        )
        for engine in ("auto", "portable")
    )
    for _ in range(2):
        torch.testing.assert_close(ours.estimate(x, z), theirs.estimate(x, z), rtol=1e-9, atol=1e-11)
    assert torch.equal(x, before[0]) and torch.equal(z, before[1])


@pytest.mark.parametrize("size", [1, 2, 7, 16, 500])
def test_permutations_are_those_of_the_seeds(shared, size):
    index = torch.tensor([3, 0, 10**9, -5])
    ours, theirs = (make(7, index, "a/1", 21, size) for make in (shuffle.permutations, seeding.permutations))
    assert torch.equal(ours, theirs)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [1, 255, 256, 1000])
def test_gaussian_numbers_have_the_bits_of_the_seeds(shared, size, dtype):
    index = torch.tensor([3, 0, 10**9, -5])
    ours = torch.empty(4, size, dtype=dtype)
    gaussian.gaussian(7, index, "a/1", 0.3, ours)
    assert torch.equal(ours, seeding.gaussian(7, index, "a/1", size).to(dtype) * 0.3)


@pytest.mark.parametrize("engine", ["auto", "portable"])
@pytest.mark.parametrize("critic", ["vanilla", "released"])
def test_standardises_each_compressed_sample(shared, critic, engine):
    """Value and gradient, of two evaluations, as autograd has it; a constant sample stays finite."""
    x, z = torch.rand(2, 3, 5, 28, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    mine = MINE(critic, inner_steps=3, lr=1e-2, engine=engine)
    ours = Estimator(mine, x, None, 7, torch.arange(3), standardize=True)
    theirs = Estimator(MINE(critic, inner_steps=3, lr=1e-2, engine="portable"), x, None, 7, torch.arange(3))
    for shift in (0.0, 3.0):
        leaf = (2 * z + shift).requires_grad_()
        of_x, of_z = (
            (t - t.mean(-1, keepdim=True)) / t.std(-1, correction=0, keepdim=True) for t in (x, leaf)
        )
        value, grad = theirs.estimate(of_x, of_z.detach())
        expected = value, torch.autograd.grad(of_z, leaf, grad)[0]
        torch.testing.assert_close(ours.estimate(x, leaf.detach()), expected, rtol=1e-9, atol=1e-11)
    constant = z.clone()
    constant[1] = 2.0
    value, grad = ours.estimate(x, constant)
    assert value.isfinite().all() and grad.isfinite().all()


@pytest.mark.parametrize("critic", ["vanilla", "released"])
def test_a_sample_that_is_nan_leaves_the_others_alone(critic):
    """Sizes that are padded, where a NaN could hide from one sample to the next."""
    x, z = torch.rand(2, 4, 5, 13, generator=torch.Generator().manual_seed(0))
    bad = z.clone()
    bad[1, 2, 3] = torch.nan
    mine = MINE(critic, inner_steps=3)
    whole, broken = mine(x, z), mine(x, bad)
    assert broken[1].isnan() and torch.equal(whole[[0, 2, 3]], broken[[0, 2, 3]])


@pytest.mark.parametrize("critic", ["vanilla", "released"])
def test_in_float32_to_its_rounding(critic):
    x, z = torch.rand(2, 2, 8, 30, generator=torch.Generator().manual_seed(0))
    ours, theirs = (
        Estimator(MINE(critic, inner_steps=5, lr=1e-4, engine=engine), x, (5, 6), 7, torch.arange(2))
        for engine in ("auto", "portable")
    )
    torch.testing.assert_close(ours.estimate(x, z), theirs.estimate(x, z), rtol=1e-3, atol=1e-5)


TRAINED = """
import hashlib, torch
from uae import MINE
torch.set_num_threads(1)
x = torch.rand(60, 20, 16, generator=torch.Generator().manual_seed(0))
print(hashlib.sha256(MINE(inner_steps=3)(x, x.square()).numpy()).hexdigest())
"""


def test_what_compiles_and_what_loads_the_cache_give_the_same_bits(tmp_path):
    """A called function would be another copy in the process that compiles (seen with AVX-512)."""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", TRAINED]
    first, second = (subprocess.check_output(command, env=environment) for _ in range(2))
    assert first == second and list(tmp_path.rglob("*.nbc"))


def damaged(path, how):
    content = path.read_bytes()
    middle = len(content) // 2
    return {
        "cut": content[:middle],
        "empty": b"",
        "garbage": b"garbage" * 50,
        "flipped": content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :],
        "unpickled": pickle.dumps("0.1.0") + pickle.dumps(("stamp", {})),
    }[how]


@pytest.mark.parametrize("how", ["cut", "empty", "garbage", "flipped", "unpickled"])
def test_a_damaged_cache_is_not_loaded(tmp_path, how):
    """LLVM ends the process over a damaged object file, numba raises what pickle raises."""
    files = CheckedFiles(cache_path=str(tmp_path), filename_base="f", source_stamp=1)
    assert files.load("key") is None
    files.save("key", "code")
    assert files.load("key") == "code"
    for suffix in ("nbi", "nbc"):
        (path,) = tmp_path.glob(f"*.{suffix}")
        whole = path.read_bytes()
        path.write_bytes(damaged(path, how))
        assert files.load("key") is None
        files.save("key", "new code")
        assert files.load("key") == "new code"
        path.unlink()
        path.mkdir()  # neither to be read nor to be written
        assert files.load("key") is None
        path.rmdir()
        path.write_bytes(whole)
        files.save("key", "code")


@pytest.mark.parametrize("changed", ["mine/engines/simd.py", "mine/engines/shuffle.py", "seeding.py"])
def test_kernels_are_compiled_again_after_a_change_of_any_of_their_sources(tmp_path, changed):
    """numba's own stamp has the file of the function alone; a kernel also holds functions of other files."""
    package = Path(cache.__file__).parents[2]
    shutil.copytree(package / "mine" / "engines", tmp_path / "mine" / "engines")
    shutil.copy(package / "seeding.py", tmp_path)
    assert cache._sources(tmp_path) == cache.SOURCES
    with (tmp_path / changed).open("a") as file:
        file.write("# changed")
    assert cache._sources(tmp_path) != cache.SOURCES
    assert shuffle.mix._cache._cache_file._source_stamp == cache.SOURCES


def test_damaged_kernels_are_compiled_again(tmp_path):
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", TRAINED]
    first = subprocess.check_output(command, env=environment)
    for path in tmp_path.rglob("numba._train*.nb?"):
        path.write_bytes(damaged(path, "flipped" if path.suffix == ".nbc" else "cut"))
    assert subprocess.check_output(command, env=environment) == first


@pytest.mark.parametrize("kept", [True, False])
def test_without_a_place_for_the_cache_there_is_a_private_one_or_none(tmp_path, monkeypatch, caplog, kept):
    def nowhere(*_):
        return None

    for locator in (caching.InTreeCacheLocator, caching.UserWideCacheLocator):
        monkeypatch.setattr(locator, "from_function", nowhere)
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = tmp_path / f"uae-numba-{os.getuid()}"
    if not kept:
        folder.mkdir(mode=0o777)
        folder.chmod(0o777)  # others could write there what this process would execute
    cache._warn.cache_clear()
    function = cache.cached_njit()(damaged_by_nobody)
    assert function(2) == 3 and numba.config.CACHE_DIR == ""
    if kept:
        assert folder.stat().st_mode & 0o777 == 0o700 and list(folder.rglob("*.nbc"))
    else:
        assert "NUMBA_CACHE_DIR" in caplog.text and not list(folder.iterdir())


def damaged_by_nobody(x):
    return x + 1


def test_a_full_disk_costs_the_cache_only(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    function = cache.cached_njit()(damaged_by_nobody)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(CheckedFiles, "_save_index", full)
    cache._warn.cache_clear()
    assert function(2) == 3
    assert "No space left" in caplog.text
