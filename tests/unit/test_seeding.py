"""Random numbers by (seed, sample, purpose)."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from uae import seeding

INDEX = torch.arange(4)


def splitmix64(state: int, count: int) -> list[int]:
    """The published generator (Steele, Lea and Flood 2014), in Python's integers."""
    out, mask = [], (1 << 64) - 1
    for _ in range(count):
        state = (state + 0x9E3779B97F4A7C15) & mask
        z = state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        out.append(z ^ (z >> 31))
    return out


def test_the_reference_generator_gives_its_published_values():
    assert splitmix64(1234567, 3) == [6457827717110365317, 3203168211198807973, 9817491932198370423]


@given(st.integers(0, 2**32), st.integers(0, 2**40), st.text(max_size=5))
def test_bits_are_splitmix64_from_a_key_of_seed_index_and_purpose(seed, index, purpose):
    mask = (1 << 64) - 1
    inner = splitmix64((index - 1) * 0x9E3779B97F4A7C15 & mask, 1)[0]
    key = splitmix64((inner + seeding.derive(seed, purpose) - 0x9E3779B97F4A7C15) & mask, 1)[0]
    found = seeding.bits(seed, torch.tensor([index]), purpose, (5,))[0]
    assert [int(v) & mask for v in found] == splitmix64(key, 5)


@pytest.mark.parametrize("seed", [0.5, 1.0, "0", True, None, np.True_, np.float64(1), torch.tensor(True)])
def test_a_seed_that_is_no_integer_is_refused(seed):
    """Its text would be hashed: another stream than that of the integer."""
    with pytest.raises(ValueError, match="seed must be an integer"):
        seeding.derive(seed, "a")


@pytest.mark.parametrize("seed", [3, np.int64(3), np.uint8(3), torch.tensor(3)])
def test_an_integer_of_any_type_is_the_same_seed(seed):
    assert seeding.derive(seed, "a") == seeding.derive(3, "a")


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32, torch.int64])
def test_an_index_of_any_integer_type_is_the_same(dtype):
    expected = seeding.bits(1, INDEX, "a", (3,))
    assert torch.equal(seeding.bits(1, INDEX.to(dtype), "a", (3,)), expected)
    assert seeding.integers(INDEX.to(dtype)).dtype == torch.int64


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bool, torch.complex64])
def test_an_index_of_other_numbers_is_refused(dtype):
    with pytest.raises(ValueError, match=f"index must hold integers, got {dtype}"):
        seeding.bits(1, INDEX.to(dtype), "a", (3,))


def test_streams_differ_by_seed_index_and_purpose():
    streams = [
        tuple(seeding.bits(seed, torch.tensor([index]), purpose, (4,))[0].tolist())
        for seed in (0, 1)
        for index in (0, 1)
        for purpose in ("a", "b")
    ]
    assert len(set(streams)) == 8


def test_distributions():
    u = seeding.uniform(0, INDEX, "u", (50_000,), 2.0, torch.float64)
    assert u.min() >= -2 and u.max() < 2
    torch.testing.assert_close(u.mean(1), torch.zeros(4).double(), atol=0.03, rtol=0)
    torch.testing.assert_close(u.var(1), torch.full((4,), 4 / 3).double(), atol=0.03, rtol=0)
    z = seeding.normal(0, INDEX, "z", (50_000,), torch.float64)
    moments = torch.stack([(z**k).mean(1) for k in (1, 2, 3, 4)])
    expected = torch.tensor([0.0, 1.0, 0.0, 3.0]).double()[:, None].expand(4, 4)
    torch.testing.assert_close(moments, expected, atol=0.12, rtol=0)
    assert abs(torch.corrcoef(z)[0, 1]) < 0.02


def test_permutations_are_permutations_and_all_equally_likely():
    found = seeding.permutations(3, torch.arange(600), "p", 10, 3)
    assert torch.equal(found.sort(-1).values, torch.arange(3).expand(600, 10, 3))
    code = (found * torch.tensor([9, 3, 1])).sum(-1).flatten()
    counts = torch.stack([(code == c).sum() for c in code.unique()])
    assert len(counts) == 6
    assert ((counts - 1000).abs() < 150).all()  # five standard deviations


def test_gaussian_numbers_are_normal():
    """Mean, variance, kurtosis, tails, and no correlation within the pairs that share a radius."""
    z = seeding.gaussian(0, INDEX, "z", 200_001).double()
    assert z.shape == (len(INDEX), 200_001)
    z = z.flatten()
    error = 5 / len(z) ** 0.5
    assert abs(z.mean()) < error and abs(z.var() - 1) < 2**0.5 * error
    assert abs((z**4).mean() - 3) < 96**0.5 * error
    normal = torch.distributions.Normal(0.0, 1.0)
    for limit in (-3.0, -1.0, 0.0, 0.5, 2.0, 4.0):
        share = float(normal.cdf(torch.tensor(limit).double()))
        assert abs((z < limit).double().mean() - share) < (share * (1 - share)) ** 0.5 * error
    half = seeding.HALF
    one, other = z[: len(z) // (2 * half) * 2 * half].view(-1, 2, half).unbind(1)
    assert abs((one * other).mean()) < 2 * error and abs((one**2 * other**2).mean() - 1) < 12 * error


def test_gaussian_numbers_depend_on_the_index_alone():
    whole = seeding.gaussian(3, INDEX, "z", 700)
    assert torch.equal(seeding.gaussian(3, INDEX.flip(0), "z", 700).flip(0), whole)
    assert torch.equal(seeding.gaussian(3, INDEX, "z", 300), whole[:, :300])
    assert not torch.equal(seeding.gaussian(4, INDEX, "z", 700), whole)
