"""The CPU's kernels against the portable path, at sizes that fill their blocks and sizes that don't."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from uae import MINE
from uae.mine import Estimator


@pytest.fixture(params=[1, 3])
def shared(request):
    """One thread, and three that share a call's work."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("hidden", [3, 10, 17])
@pytest.mark.parametrize(
    ("critic", "map_shape"), [("vanilla", None), ("released", None), ("released", (4, 7))]
)
def test_agrees_with_the_portable_path(shared, critic, map_shape, hidden):
    """Bound and gradient of two evaluations, the second with the state that the first left."""
    x, z = torch.rand(2, 2, 5, 28, dtype=torch.float64, generator=torch.Generator().manual_seed(hidden))
    ours, theirs = (
        Estimator(
            MINE(critic, inner_steps=3, lr=1e-2, hidden=hidden, engine=engine),
            x,
            map_shape,
            7,
            torch.arange(2),
        )
        for engine in ("auto", "portable")
    )
    for _ in range(2):
        torch.testing.assert_close(ours.estimate(x, z), theirs.estimate(x, z), rtol=1e-9, atol=1e-11)


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
