"""The estimator on trial: the closed form, the pairs that have it, and which settings come near it."""

from __future__ import annotations

import math

import pytest
import torch

import uae
from tests.swaps import Tiny
from uae import config, records
from uae.evaluation import known_information as known
from uae.paper import render

RELEASED = uae.RandomSampling(power=0.5, standardize=True, redraw=True)


@pytest.mark.parametrize("rho", [0.0, 0.3, -0.6, 0.99])
@pytest.mark.parametrize("dim", [1, 5])
def test_the_closed_form_is_that_of_the_covariances(rho, dim):
    """I = 1/2 log(det S_x det S_z / det S) for jointly Gaussian x and z."""
    eye = torch.eye(dim, dtype=torch.float64)
    joint = torch.cat([torch.cat([eye, rho * eye], 1), torch.cat([rho * eye, eye], 1)])
    expected = -0.5 * torch.linalg.slogdet(joint)[1]
    assert float(known.correlation(expected, dim)) == pytest.approx(abs(rho), abs=1e-7)


def test_random_sampling_makes_gaussian_pairs_correlated_by_the_cosine():
    rho = torch.tensor([0.0, 0.5, 0.9])
    x, z = known.vectors(rho, 30, 4.0, seed=0)
    assert torch.nn.functional.cosine_similarity(x, z).tolist() == pytest.approx(rho.tolist(), abs=1e-6)
    assert x.norm(dim=1).tolist() == pytest.approx([4.0] * 3) == z.norm(dim=1).tolist()
    features = uae.RandomSampling(count=4000, dim=4, power=1.0).bind(None, x, 0)
    both = torch.stack([features.compute(x, 0), features.compute(z, 0)]).transpose(0, 1).flatten(2)
    within = torch.stack([torch.corrcoef(rows)[0, 1] for rows in both])
    assert within.tolist() == pytest.approx(rho.tolist(), abs=0.03)  # 16,000 draws: a deviation of 0.008
    assert both.std(-1).flatten().tolist() == pytest.approx([4.0 / 4] * 6, rel=0.03)
    across = torch.corrcoef(features.compute(x[:1], 0)[0].T).fill_diagonal_(0)
    assert across.abs().max() < 0.08  # the coordinates of one sample are independent


def test_maps_are_correlated_as_asked():
    x, z = known.maps(torch.tensor([0.0, 0.8]), 50, 400, 0.25, seed=0)
    for i, rho in enumerate((0.0, 0.8)):
        assert float(torch.corrcoef(torch.stack([x[i].flatten(), z[i].flatten()]))[0, 1]) == pytest.approx(
            rho, abs=0.03
        )
    assert x.std() == pytest.approx(0.25, rel=0.02) and z.std() == pytest.approx(0.25, rel=0.02)


def estimates(mine, sampling, nats, pairs=3, steps=40, size=32, norm=9.2):
    truth = torch.tensor(nats, dtype=torch.float64).repeat_interleave(pairs)
    both = known.vectors(known.correlation(truth, sampling.dim), size, norm, seed=5)
    found = known.of_vectors(mine, sampling, *both, steps, seed=5)
    return found.unflatten(1, (len(nats), pairs)).mean(2)


@pytest.mark.parametrize("nats", [0.5, 1.0, 1.5])
def test_a_trained_critic_comes_near_a_mutual_information_that_it_can_represent(nats):
    """Of two coordinates, which ten hidden units can follow, from fresh samples at every step."""
    sampling = uae.RandomSampling(count=500, dim=2, power=0.5, redraw=True)
    found = estimates(uae.MINE(lr=3e-3, inner_steps=20), sampling, [nats], steps=60, norm=2**0.5)
    assert float(found[-10:].mean()) == pytest.approx(nats, rel=0.2)


def test_at_the_papers_sizes_the_trained_critic_alone_tells_much_from_nothing():
    """K 500, D 128: 0 and 256 nats. Others say the same of both, or much of 0."""
    nats = [0.0, 256.0]
    words = estimates(uae.MINE(), uae.RandomSampling(), nats, pairs=1, steps=10)
    assert float((words[-1, 1] - words[-1, 0]).abs()) < 0.1
    # With the vanilla critic single pairs differ by 0.3 nats, whatever the truth: three errors of the means
    released = estimates(uae.MINE(), RELEASED, nats, pairs=6, steps=10)
    assert float((released[-1, 1] - released[-1, 0]).abs()) < 3 * 0.35 * (2 / 6) ** 0.5
    trained = estimates(uae.MINE(lr=3e-3), RELEASED, nats, pairs=1, steps=10)
    assert abs(float(trained[-1, 0])) < 0.25 and 2 < float(trained[-1, 1]) < math.log(500) + 0.5
    by_heart = estimates(uae.MINE(lr=1e-2), uae.RandomSampling(), nats, pairs=1, steps=20)
    assert float(by_heart[-1, 0]) > 1  # of independent pairs


def test_the_trial_writes_a_record_for_each_setting_and_its_figure(tmp_path):
    tiny = Tiny(tmp_path, only="*")
    tiny.make("records/estimator/*")
    cfg, folder = tiny.cfg, tiny.path("records/estimator/gaussian-pairs")
    found = records.load(folder)
    assert {(r.model, r.method) for r in found} == {
        (samples, name) for samples in cfg.estimator.models for name in cfg.estimator.attacks
    }
    assert all({"mi_estimate@0", "mi_estimate@4", "mi_estimate_std@4"} <= set(r.metrics) for r in found)
    render.render("estimator", sorted(folder.rglob("*.json")), tmp_path)
    lines = (tmp_path / "estimator.csv").read_text().splitlines()
    assert len(lines) == 1 + len(found) * 2 and lines[0].startswith("samples,method,seed,truth,estimate")
    assert lines[1].split(",")[:4] == ["random-sampling", "mine-uae", "0", "0"]


@pytest.mark.parametrize(
    ("over", "message"),
    [
        ({"attacks": ["l2-uae"]}, "estimator.attacks: 'l2-uae'"),
        ({"attacks": ["mine-uae-trained-2"]}, "estimator.attacks"),
        ({"models": {"random-sampling": "convolutional"}}, "estimator.models.random-sampling"),
        ({"models": {"convolution-output": "no-such"}}, "estimator.models.convolution-output"),
        ({"nats": [-1]}, "estimator.nats"),
        ({"pairs": 1}, "estimator.pairs"),
    ],
)
def test_a_wrong_setting_of_the_trial_is_named(over, message):
    with pytest.raises(uae.errors.ConfigError, match=message.replace(".", r"\.")):
        config.load({"scale": "tests/tiny.yaml", "estimator": over})
