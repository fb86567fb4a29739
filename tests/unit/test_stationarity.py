"""Theorem 1's measure: zero where nothing can improve, and the slope of known power laws."""

import numpy as np
import pytest
import torch

import uae
from uae.evaluation.stationarity import best_so_far, slope


@pytest.mark.parametrize("power", [-0.5, -1.0, 0.0])
def test_the_slope_of_a_power_law(power):
    assert slope(3.0 * np.arange(1, 401) ** power) == pytest.approx(power, abs=1e-9)


def test_best_so_far_never_rises():
    along = np.random.default_rng(0).random((3, 50)).astype(np.float32)
    best = best_so_far(along)
    assert (np.diff(best, axis=1) <= 0).all() and (best <= along).all()
    assert np.isnan(slope(np.zeros(10)))


class Quadratic:
    """f = ||x_adv - 0.5||^2 - 0.01: its minimum is inside the box."""

    relative = False

    def __call__(self, x_adv, x):
        return (x_adv - 0.5).flatten(1).square().sum(1) - 0.01


def test_the_measure_against_the_definition():
    """Section 4.2 written out for one step: delta = 0, c = c0, mi = None, so that F = (c - 1 below 0) f."""
    x = torch.rand(4, 1, 3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    attack = uae.MinMaxAttack(steps=1, alpha=0.1, c0=2.0, mi=None, eps=0.05)
    found = attack(Quadratic(), x, trace=True).stationarity
    loss = (x - 0.5).flatten(1).square().sum(1) - 0.01
    grad = 2 * (x - 0.5)
    gradient = (2.0 * (loss > 0).double()).view(-1, 1, 1, 1) * grad - grad  # c * grad f+ - grad of the loss
    moved = (x + (0 - gradient).clamp(-0.05, 0.05)).clamp(0, 1) - x
    expected = moved.flatten(1).square().sum(1) + loss.clamp(min=0) ** 2
    torch.testing.assert_close(found[:, 0], expected)
    assert found.shape == (4, 1)
