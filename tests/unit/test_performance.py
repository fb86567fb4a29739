"""The cost model against PyTorch's own count, and the page against the cost model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import cost_model
from uae import seeding
from uae.mine.critics import Critics, build_layers
from uae.mine.engines import portable

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("case", cost_model.CASES, ids=lambda case: case.name)
def test_products_are_as_many_as_pytorch_counts(case):
    """The portable path under FlopCounterMode, at a size that is quick, with two samples."""
    case = replace(case, count=5, dim=24, map_shape=case.map_shape and (4, 6))
    index = torch.arange(2)
    layers = build_layers(case.critic, case.dim, case.map_shape, case.hidden)
    critics = Critics(layers, case.hidden, 1e-3, 0, index, torch.float32)
    engine = portable.Engine(critics)
    x = torch.rand(2, case.count, case.dim)
    engine.train(x, x, seeding.permutations(0, index, "", 1, case.count))  # the first call makes ready
    counter = FlopCounterMode(display=False)
    with counter:
        engine.train(x, x, seeding.permutations(0, index, "", 3 + 1, case.count))
    expected = 2 * (3 * case.step_products() + case.evaluation_products())
    assert counter.get_total_flops() == expected


def test_the_numbers_of_the_engine_s_notes_are_the_model_s():
    """0.96 GFLOP over 800 steps counted 0.5 M multiply-adds a step; 15.7 k weights, 188 kB of state."""
    vanilla, _, released, _ = cost_model.CASES
    assert vanilla.weights == 2 * 784 * 10
    assert vanilla.state_bytes() == 188_160
    assert vanilla.step_products() == pytest.approx(2 * 0.5e6, rel=0.01)
    assert released.weights == pytest.approx(12e6, rel=0.01)
    assert 2 * released.state_bytes() == pytest.approx(288e6, rel=0.01)


def test_the_page_shows_the_model_s_tables():
    page = (ROOT / "docs" / "performance.md").read_text()
    assert cost_model.tables(cost_model.CORE) in page, "run benchmarks/cost_model.py and paste its tables"
