"""The registers' functions that we compute ourselves, against NumPy's in float64."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from uae.mine.engines import simd


def applied(function, numbers):
    """The function of every number, whose count is whole registers."""

    @numba.njit
    def apply(array):
        for i in range(0, len(array), simd.lanes(array)):
            simd.store(array, i, function(simd.load(array, i)))

    out = numbers.copy()
    apply(out)
    return out


@pytest.mark.parametrize(("dtype", "error"), [(np.float32, 2e-7), (np.float64, 1e-15)])
@pytest.mark.parametrize(
    ("ours", "numpys", "low", "high"),
    [
        (simd.exp, np.exp, -87.0, 0.0),
        (simd.exp, np.exp, -1.0, 80.0),
        (simd.reciprocal, np.reciprocal, 1e-8, 1e8),
    ],
)
def test_is_exact_to_rounding(shared, ours, numpys, low, high, dtype, error):
    numbers = np.linspace(low, high, 4096, dtype=dtype)
    if ours is simd.reciprocal:
        numbers = np.geomspace(low, high, 4096, dtype=dtype)
    expected = numpys(numbers.astype(np.float64))
    np.testing.assert_allclose(applied(ours, numbers), expected, rtol=error)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_is_not_a_number_stays_none(shared, dtype):
    numbers = np.array([np.nan, -1.0, 0.0, 2.0] * 8, dtype)
    expected = np.array([np.nan, 0.0, 0.0, 2.0] * 8, dtype)
    assert np.isnan(applied(simd.exp, numbers)[::4]).all()
    np.testing.assert_array_equal(applied(simd.relu, numbers), expected)


def test_far_below_zero_the_exponential_vanishes(shared):
    numbers = np.array([-1e3, -np.inf, -88.0, -1e30] * 8, np.float32)
    assert (applied(simd.exp, numbers) < 2e-38).all()
