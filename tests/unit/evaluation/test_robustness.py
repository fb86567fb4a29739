"""Intervals, attack success rates, and the checks for masked gradients."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, ttest_1samp
from torch import nn

import uae
from uae import intervals, records
from uae.evaluation import robustness
from uae.evaluation.robustness import Rate


@given(st.integers(1, 2000), st.data())
def test_intervals_agree_with_scipy(count, data):
    hits = data.draw(st.integers(0, count))
    expected = binomtest(hits, count).proportion_ci(0.95, method="wilson")
    assert robustness.wilson(hits, count) == pytest.approx((expected.low, expected.high), abs=1e-12)
    low, high = robustness.wilson(hits, count)
    assert 0 <= low <= hits / count <= high <= 1


def test_a_published_interval():
    # Newcombe (1998), table I, method 3: 81 of 263 and 15 of 148.
    assert robustness.wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert robustness.wilson(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=9).filter(lambda values: np.std(values) > 1e-6))
def test_the_paired_test_agrees_with_scipy(differences):
    assert intervals.paired_p(differences) == pytest.approx(ttest_1samp(differences, 0).pvalue, rel=1e-9)


@pytest.mark.parametrize("differences", [[0.5], [0.5, 0.5]])
def test_without_a_spread_there_is_no_p_value(differences):
    assert math.isnan(intervals.paired_p(differences))


@pytest.mark.parametrize(("hits", "count"), [(-1, 5), (6, 5), (0, 0)])
def test_impossible_counts_are_refused(hits, count):
    with pytest.raises(ValueError, match=f"got {hits} of {count}"):
        robustness.wilson(hits, count)


class Threshold(nn.Module):
    """Class 1 where the mean pixel is above 1/2: an image at distance d from it falls at eps > d."""

    def __init__(self):
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(4.0))

    def forward(self, x):
        z = self.slope * (x.flatten(1).mean(1) - 0.5)
        return torch.stack([-z, z], 1)


def images(means: np.ndarray) -> torch.Tensor:
    """Flat grey images of the given brightness."""
    return torch.tensor(means, dtype=torch.float32).view(-1, 1, 1, 1).expand(-1, 1, 4, 4).contiguous()


X = images(np.linspace(0.01, 0.99, 50))
Y = (X.flatten(1).mean(1) > 0.5).long()


def pgd(model, x, y, eps):
    return uae.PGD(eps=eps, steps=10)(uae.losses.CrossEntropy(model, y), x, seed=0)


def test_the_curve_is_the_distances_of_the_samples():
    model = Threshold().eval()
    rates = robustness.curve(model, X, Y, pgd, [0.05, 0.2, 0.4, 0.6])
    distance = (X.flatten(1).mean(1) - 0.5).abs()
    assert [r.hits for r in rates] == [int((distance < r.eps).sum()) for r in rates]
    assert all(r.count == 50 and r.low <= r.value <= r.high for r in rates)
    # The loss of an image that the attack moves by eps towards the boundary, and over it.
    moved = (4 * 2 * ((X.flatten(1).mean(1) - 0.5).abs() - 0.4)).neg().exp().log1p().mean()
    assert rates[2].loss == pytest.approx(moved.item(), rel=1e-4)


def test_misclassified_samples_are_not_attacked():
    model = Threshold().eval()
    wrong = Y.clone()
    wrong[:20] = 1 - wrong[:20]
    rows = robustness.attacked(model, X, wrong, 1000, seed=3)
    assert sorted(rows.tolist()) == list(range(20, 50))
    few = robustness.attacked(model, X, wrong, 7, seed=3)
    assert few.tolist() == rows[:7].tolist()  # the same order, whatever the count
    assert few.tolist() != sorted(few.tolist())
    assert robustness.accuracy(model, X, wrong) == pytest.approx(0.6)
    with pytest.raises(ValueError, match="none of 50"):
        robustness.attacked(model, X, 1 - Y, 10, seed=3)


def test_models_are_attacked_on_the_same_images():
    """A model that errs on one of the chosen images takes the next one, and keeps the others."""
    model = Threshold().eval()
    rows = robustness.attacked(model, X, Y, 10, seed=0).tolist()
    wrong = Y.clone()
    wrong[rows[4]] = 1 - wrong[rows[4]]
    others = robustness.attacked(model, X, wrong, 10, seed=0).tolist()
    assert others[:4] + others[4:9] == rows[:4] + rows[5:]


class Masked(nn.Module):
    """Robust by steps: the gradient is zero almost everywhere, yet every image is near the boundary."""

    def __init__(self):
        super().__init__()
        self.inner = Threshold()

    def forward(self, x):
        rounded = (x * 4).round() / 4
        return self.inner(rounded + 0 * x)


def rates_of(model, x, y):
    rates = robustness.curve(model, x, y, pgd, [0.1, 0.3, 0.5])
    unbounded = robustness.rate(model, pgd(model, x, y, 1.0).adv, y, 1.0)
    made = pgd(Threshold().eval(), x, y, 0.3).adv  # on the smooth model
    return {
        "rates": rates,
        "unbounded": unbounded,
        "transfer": robustness.rate(model, made, y, 0.3),
        "single": rates[1],
        "restarts": rates[1],
        "white_box": [rates[1]],
    }


def test_an_honest_model_has_no_flags():
    assert not any(robustness.flags(**rates_of(Threshold().eval(), X, Y)).values())


def test_masked_gradients_are_flagged():
    model = Masked().eval()
    rows = robustness.attacked(model, X, Y, 50, seed=0)
    found = robustness.flags(**rates_of(model, X[rows], Y[rows]))
    assert found["unbounded_fails"] and found["transfer_wins"]


def test_each_flag_has_its_cause_and_a_meaning():
    def made(hits, eps=0.3, loss=1.0):
        return Rate(eps, hits, 100, loss, 0.01)

    good = [made(10, 0.1, 1.0), made(50, 0.2, 2.0), made(90, 0.3, 3.0)]
    base = {"rates": good, "unbounded": made(100, 1.0), "transfer": made(40), "single": made(90),
            "restarts": made(92), "white_box": [made(90), made(92)]}  # fmt: skip
    described = {name for name in records.METRICS if name.startswith("flag_")}
    assert {f"flag_{name}" for name in robustness.flags(**base)} == described
    assert not any(robustness.flags(**base).values())
    for change, flag in (
        ({"rates": [made(10, 0.1), made(50, 0.2), made(30, 0.3)]}, "asr_falls"),
        ({"rates": [made(10, 0.1, 1.0), made(50, 0.2, 2.0), made(90, 0.3, 1.8)]}, "loss_falls"),
        ({"unbounded": made(90, 1.0)}, "unbounded_fails"),
        ({"transfer": made(100), "white_box": [made(60), made(60)]}, "transfer_wins"),
        ({"single": made(60)}, "restarts_matter"),
    ):
        assert [name for name, bad in robustness.flags(**base | change).items() if bad] == [flag]
    # Within the intervals nothing is flagged.
    assert not robustness.flags(**base | {"rates": [made(50, 0.1), made(48, 0.2)]})["asr_falls"]
    assert math.isclose(made(50).value, 0.5)
    # Without transferred images there is nothing to flag.
    assert "transfer_wins" not in robustness.flags(**base | {"transfer": None, "white_box": []})
