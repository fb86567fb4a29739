"""Theorem 1's measure: zero where nothing can improve, and the slope of known power laws."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import uae
from uae import models, records, storage
from uae.errors import BadFile
from uae.evaluation.stationarity import best_so_far, rate, reached, slope
from uae.losses import Reconstruction
from uae.mine import Estimator
from uae.stages import evaluate
from uae.stages.attack import attack_from
from uae.stages.evaluate import subject
from uae.stages.evaluate.stationarity import keeping


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


def test_the_rate_over_horizons():
    horizons = [50, 100, 400]
    assert rate(horizons, [3.0 * t**-0.7 for t in horizons]) == pytest.approx(-0.7)
    assert np.isnan(rate([50], [1.0])) and np.isnan(rate(horizons, [1.0, 0.5, 0.0]))


def test_the_file_has_the_best_value_of_each_horizon(tmp_path, monkeypatch):
    """Against the attacks themselves, without the steps of the warm-up. Its file is not that of each step."""
    torch.manual_seed(0)
    model = models.build("convolutional", (1, 12, 12)).eval()
    x = torch.rand(3, 1, 12, 12)
    source = SimpleNamespace(unit=lambda part: x, metadata={"dataset": "mnist", "variant": "mnist"})
    monkeypatch.setattr(subject.prepared, "load", lambda path: source)
    monkeypatch.setattr(subject.checkpoints, "load", lambda path, device: (model, {"provenance": {}}))
    monkeypatch.setattr(subject.Subject, "show", lambda self, found, **about: wrote.update(found))
    wrote, target = {}, tmp_path / "records/theorem1/mnist/convolutional/mine-uae/seed3.safetensors"
    asked = {"attack": {"steps": 4}, "squared": False, "mine": {"inner_steps": 2}}
    settings = {"attack": asked, "samples": 3, "steps": 5, "horizons": [2, 6], "warm_up": 3}
    evaluate.run(target, data=Path("data"), checkpoint=Path("model"), settings=settings)
    assert wrote["stationarity"].shape == (3, 5)
    for horizon in (2, 6):
        for kind, attack in zip(
            ("falling", "frozen"), keeping(attack_from(asked), horizon, warm_up=3), strict=True
        ):
            along = attack(Reconstruction(model, squared=False), x, seed=3, trace=True).stationarity
            np.testing.assert_array_equal(wrote[f"{kind}-{horizon}"], along[:, -horizon:].amin(1))
    arrays = {"falling-6": np.ones(2, np.float32), "falling-2": np.full(2, 3.0, np.float32)}
    assert list(reached(arrays, "falling", target)) == [2, 6]
    with pytest.raises(BadFile, match=r"seed3.safetensors: has each step of 'frozen' attacks"):
        reached({"frozen-2": np.ones((3, 2))}, "frozen", target)


def test_a_curve_of_one_step_has_no_slope(tmp_path):
    along = tmp_path / "records/theorem1/mnist/convolutional/mine-uae/seed0.safetensors"
    stage = records.Clock().provenance({}, "CPU, 1 threads").model_dump()
    about = {"variant": "mnist", "title": "MNIST", "attack": {}, "warm_up": 2, "training": stage}
    storage.write_tensors(along, {"stationarity": np.ones((2, 1), np.float32)}, about | {"provenance": stage})
    evaluate.run(along.with_suffix(".json"), along=along, settings={})
    record = records.read(along.with_suffix(".json"))
    assert record.metrics == {"n_attacked": 2, "attack_steps": 1}
    assert set(record.provenance) == {"training", "attack", "evaluation"}


@pytest.mark.parametrize("engine", ["auto", "portable"])
@pytest.mark.parametrize("critic", ["vanilla", "released"])
def test_a_frozen_critic_is_a_function_of_its_samples(engine, critic):
    """After the warm-up an estimate depends on no call before it; until then the critic trains."""
    generator = torch.Generator().manual_seed(0)
    x, z, other = torch.randn(3, 2, 6, 9, generator=generator)
    trained, frozen = (
        Estimator(uae.MINE(critic, 3, 1e-2, warm_up=warm_up, engine=engine), x, None, 0, torch.arange(2))
        for warm_up in (None, 2)
    )
    first = [[e.estimate(x, z)[0] for _ in range(2)] for e in (trained, frozen)]
    assert torch.equal(torch.stack(first[0]), torch.stack(first[1]))
    value, gradient = frozen.estimate(x, z)
    assert not torch.allclose(frozen.estimate(x, other)[0], value)
    again, same = frozen.estimate(x, z)
    assert torch.equal(again, value) and torch.equal(same, gradient)
    assert not torch.allclose(trained.estimate(x, z)[0], value)


@pytest.mark.parametrize("engine", ["auto", "portable"])
def test_with_one_permutation_an_estimate_moves_as_little_as_its_critic(engine):
    """A critic that hardly trains then gives one value; new permutations give others."""
    x, z = torch.randn(2, 3, 8, 9, generator=torch.Generator().manual_seed(0))
    spread = {}
    for one in (True, False):
        mine = uae.MINE(inner_steps=2, lr=1e-9, one_permutation=one, engine=engine)
        critic = Estimator(mine, x, None, 0, torch.arange(3))
        spread[one] = torch.stack([critic.estimate(x, z)[0] for _ in range(5)]).std(0)
    assert spread[True].max() < 1e-5 < 1e-3 < spread[False].min()


def test_step_size_and_rate_fall_with_the_horizon():
    attack = uae.MinMaxAttack(steps=40, alpha=0.01, mi=uae.MINE(lr=1e-3))
    falling, frozen = keeping(attack, 160, warm_up=7)
    assert (falling.steps, falling.alpha, falling.mi.lr, falling.mi.warm_up) == (160, 0.005, 5e-4, None)
    assert falling.mi.one_permutation and not frozen.mi.one_permutation
    assert (frozen.steps, frozen.alpha, frozen.mi.lr, frozen.mi.warm_up) == (167, 0.005, 1e-3, 7)


def test_a_warm_up_of_nothing_is_refused():
    with pytest.raises(ValueError, match="warm_up must be at least 1"):
        uae.MINE(warm_up=0)
