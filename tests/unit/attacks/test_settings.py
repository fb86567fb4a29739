"""Settings, seeds and indices of an attack: which are taken, and errors that name the wrong ones."""

import math
import re

import numpy as np
import pytest
import torch
from torch import nn

import uae
from tests.unit.attacks.conftest import ATTACK, images
from uae import losses


@pytest.mark.parametrize("steps", [0, -1, 2.5, True, "3"])
def test_steps_are_whole_numbers(steps):
    for make in (uae.MinMaxAttack, uae.PenaltyAttack, lambda steps: uae.PGD(0.1, steps=steps)):
        with pytest.raises(ValueError, match=f"steps must be a whole number from 1, got {steps}"):
            make(steps=steps)
    with pytest.raises(ValueError, match="searches must be a whole number"):
        uae.PenaltyAttack(searches=2.5)


@pytest.mark.parametrize(
    "settings",
    [
        {"eps": -1},
        {"eps": 0},
        {"steps": 0},
        {"beta": -0.1},
        {"bounds": (1, 0)},
        {"init": "x"},
        {"batch_size": 0},
        {"batch_size": -1},
        {"maximize_mi": True, "mi": None},
    ],
)
def test_settings_out_of_range(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        uae.MinMaxAttack(**settings)


WRONG_SETTINGS = [
    (kind, name, value)
    for kinds, names, values in [
        ((uae.MinMaxAttack, uae.PenaltyAttack), ("steps", "batch_size"), (4.0, "4", True, 0, math.nan)),
        ((uae.PGD,), ("steps", "restarts", "batch_size"), (4.0, "4", True, 0)),
        ((uae.PenaltyAttack,), ("searches",), (4.0, "4", True, 0)),
        ((uae.MINE,), ("inner_steps", "hidden", "warm_up"), (2.0, "2", True, 0)),
        ((uae.RandomSampling,), ("count", "dim"), (4.0, "4", True, 0)),
        (
            (uae.MinMaxAttack, uae.PenaltyAttack),
            ("eps", "alpha"),
            ("8/255", None, True, 0, math.nan, math.inf, torch.rand(2)),
        ),
        ((uae.MinMaxAttack,), ("kappa", "beta", "decay_power"), ("1", None, -1, math.nan, math.inf)),
        ((uae.PenaltyAttack,), ("lower", "upper"), ("1", None, -1, math.nan, math.inf)),
        ((uae.PGD,), ("eps", "step_size"), ("8/255", True, 0, math.nan, math.inf)),
        ((uae.MINE,), ("lr",), ("1", None, True, 0, math.nan, math.inf)),
        ((uae.MINE,), ("engine",), ("fast", None)),
        ((uae.RandomSampling,), ("power",), ("1", None, -1, math.nan, math.inf)),
        (
            (uae.MinMaxAttack, uae.PGD),
            ("bounds",),
            (None, 1.0, (0.0,), (0, 1, 2), (1, 1), (0, math.nan), ("a", "b")),
        ),
        ((uae.MinMaxAttack, uae.PenaltyAttack), ("mi",), (True, uae.RandomSampling(), "vanilla")),
    ]
    for kind in kinds
    for name in names
    for value in values
]


@pytest.mark.parametrize(("kind", "name", "value"), WRONG_SETTINGS)
def test_a_setting_that_is_wrong_is_named(kind, name, value):
    needed = {"eps": 0.1} if kind is uae.PGD else {}
    with pytest.raises(ValueError, match=rf"^{name}\b.*{re.escape(str(value))}"):
        kind(**needed | {name: value})


def test_numbers_of_other_libraries_are_settings():
    attack = uae.MinMaxAttack(
        eps=torch.tensor(0.5), alpha=np.float32(0.1), beta=0, batch_size=np.int64(2), bounds=[0, math.inf]
    )
    assert uae.PGD(eps=1, steps=np.int32(5), bounds=(-math.inf, math.inf)).step == 0.5
    assert attack.mi == uae.MINE(lr=np.float64(1.5e-5), inner_steps=np.int16(20))


def test_an_index_may_be_a_list(model):
    expected = ATTACK(losses.Reconstruction(model), images(), index=torch.tensor([4, 2, 9]))
    assert torch.equal(ATTACK(losses.Reconstruction(model), images(), index=[4, 2, 9]).adv, expected.adv)


ENTRIES = ["MinMax", "L2-UAE", "penalty", "PGD", "PGD, fixed start", "augment", "MINE"]


def entries(model):
    """Every call that takes a seed and an index; some of them draw no random number."""
    x, loss, y = images(), losses.Reconstruction(model), torch.tensor([0, 1, 0])
    classifier = nn.Sequential(nn.Flatten(), nn.Linear(64, 2)).eval()
    random_start, fixed = (uae.PGD(0.1, steps=1, random_start=start) for start in (True, False))
    return {
        "MinMax": lambda **options: ATTACK(loss, x, **options),
        "L2-UAE": lambda **options: uae.MinMaxAttack(steps=1, mi=None)(loss, x, **options),
        "penalty": lambda **options: uae.PenaltyAttack(steps=1, searches=1, mi=None)(loss, x, **options),
        "PGD": lambda **options: random_start(losses.Margin(classifier, y), x, **options),
        "PGD, fixed start": lambda **options: fixed(losses.Margin(classifier, y), x, **options),
        "augment": lambda **options: uae.augment(model, x, ATTACK, **options).result,
        "MINE": lambda **options: uae.MINE(inner_steps=1)(x[:, 0], x[:, 0], **options),
    }


@pytest.mark.parametrize("entry", ENTRIES)
def test_seed_and_index_are_integers(model, entry):
    call = entries(model)[entry]
    for seed in (0.5, "0", True, 1.0):
        with pytest.raises(ValueError, match=f"seed must be an integer, got {seed!r}"):
            call(seed=seed)
    for index in (torch.tensor([0.1, 0.2, 0.3]), torch.tensor([True, False, True])):
        with pytest.raises(ValueError, match=f"index must hold integers, got {index.dtype}"):
            call(index=index)
    expected = call(seed=3, index=torch.tensor([4, 2, 9]))
    found = call(seed=np.int64(3), index=torch.tensor([4, 2, 9], dtype=torch.int32))
    if entry == "MINE":
        assert torch.equal(found, expected)
    else:
        assert torch.equal(found.adv, expected.adv) and found.index.dtype == torch.int64


def test_settings_and_seeds_of_numpy_can_be_saved(model, tmp_path):
    attack = uae.MinMaxAttack(steps=np.int64(2), eps=np.float32(0.5), mi=uae.MINE(inner_steps=1))
    attack(losses.Reconstruction(model), images(), seed=np.int64(3)).save(tmp_path / "x")
    metadata = uae.AttackResult.load(tmp_path / "x").metadata
    assert metadata["seed"] == 3 and metadata["attack"]["steps"] == 2 and metadata["attack"]["eps"] == 0.5
