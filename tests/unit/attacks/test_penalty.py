"""Supervised MinMax and the penalty attack against Algorithms 1 and 3 written for one sample."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import uae
from tests.naive import PerSampleMINE
from uae import losses
from uae.attacks.penalty import bisect

SEED, COUNT, LR, INNER = 7, 6, 2e-3, 2


class Net(nn.Module):
    """A convolution with K = 6 maps of 4x4 and a linear layer, as sharp as a trained one."""

    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv2d(1, COUNT, 3), nn.Linear(COUNT * 16, 3)

    def forward(self, x):
        return 4 * self.head(self.conv(x).tanh().flatten(1))


@pytest.fixture(scope="module")
def setting():
    torch.manual_seed(0)
    model = Net().double().eval()
    x = torch.rand(6, 1, 6, 6, dtype=torch.float64)
    with torch.no_grad():
        model.head.bias -= model(x).mean(0) / 4  # every class occurs
    return model, x, model(x).argmax(1)


class OneSample:
    """f, I and the projection of one sample, in scalars."""

    def __init__(self, model, x, y, index, eps, target=None, kappa=0.0):
        self.model, self.x, self.y, self.index = model, x[None], int(y), torch.tensor([index])
        self.eps, self.target, self.kappa = eps, target, kappa
        self.restart()

    def restart(self):
        self.mine = PerSampleMINE(
            "vanilla", (4, 4), 16, COUNT, 10, LR, INNER, SEED, self.index, torch.float64
        )

    def f(self, delta):
        logits = self.model(self.x + delta)[0]
        if self.target is None:
            others = [v for j, v in enumerate(logits) if j != self.y]
            return logits[self.y] - max(others) + self.kappa
        others = [v for j, v in enumerate(logits) if j != self.target]
        return max(others) - logits[self.target] + self.kappa

    def information(self, delta):
        features = [self.model.conv(z)[0].flatten(1) for z in (self.x, self.x + delta)]
        return self.mine(features[0].detach(), features[1])

    def project(self, delta):
        return torch.clamp(self.x + torch.clamp(delta, -self.eps, self.eps), 0, 1) - self.x

    def step(self, delta, information, c, alpha):
        """Line 4 to 8 of Algorithm 1: the next delta and its mutual information."""
        (grad,) = torch.autograd.grad(c * torch.relu(self.f(delta)) - information, delta)
        delta = self.project(delta.detach() - alpha * grad).requires_grad_()
        return delta, self.information(delta)


def algorithm_1(one, steps, alpha, beta):
    delta = torch.zeros_like(one.x).requires_grad_()
    information, c, best, kept, trace = one.information(delta), 0.0, -math.inf, None, []
    for t in range(1, steps + 1):
        delta, information = one.step(delta, information, c, alpha)
        f = one.f(delta).item()
        c = max((1 - beta / t**0.25) * c + beta * max(f, 0), 0)
        if f <= 0 and information.item() > best:
            best, kept = information.item(), delta.detach()
        trace.append(best)
    return kept, best, trace


def algorithm_3(one, searches, steps, alpha, restart):
    lb, ub, c, best, kept, tried = 1e-3, 1e9, 1e-3, -math.inf, None, []
    for _ in range(searches):
        tried.append(c)
        if restart:
            one.restart()
        delta = torch.zeros_like(one.x).requires_grad_()
        information, success = one.information(delta), False
        for _ in range(steps):
            delta, information = one.step(delta, information, c, alpha)
            if one.f(delta) <= 0:
                success = True
                if information.item() > best:
                    best, kept = information.item(), delta.detach()
        if success:
            ub = min(ub, c)
            if ub < 1e9:
                c = (lb + ub) / 2
        else:
            lb = max(lb, c)
            c = (lb + ub) / 2 if ub < 1e9 else c * 10
    return kept, best, tried


MINE = uae.MINE(inner_steps=INNER, lr=LR)


class Counting(losses.Margin):
    """Writes down how many samples go back through the model."""

    def __call__(self, x_adv, x):
        if x_adv.requires_grad:
            self.asked.append(len(x_adv))
        return super().__call__(x_adv, x)


def agrees(result, i, x, kept, best):
    assert bool(result.success[i]) is (kept is not None)
    expected = x if kept is None else x + kept[0]
    torch.testing.assert_close(result.adv[i], expected, atol=1e-6, rtol=0)
    if kept is not None:
        assert result.mi[i].item() == pytest.approx(best, abs=1e-6)


@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("kappa", [0.0, 0.2])
def test_minmax_agrees_with_algorithm_1(setting, targeted, kappa):
    model, x, y = setting
    targets = (y + 1) % 3 if targeted else None
    attack = uae.MinMaxAttack(0.6, steps=12, alpha=0.2, beta=0.5, mi=MINE, maximize_mi=True, kappa=kappa)
    loss = Counting(model, y, targeted, targets)
    loss.asked = []
    result = attack(loss, x, seed=SEED, trace=True)
    assert result.success.sum() > 0
    assert result.trace.shape == (6, 12)
    assert loss.asked[0] == 6 and 0 < min(loss.asked) < 3  # most are successes then: f+ has no gradient
    for i in range(len(x)):
        target = int(targets[i]) if targeted else None
        one = OneSample(model, x[i], y[i], i, 0.6, target, kappa)
        kept, best, trace = algorithm_1(one, 12, 0.2, 0.5)
        agrees(result, i, x[i], kept, best)
        expected = torch.tensor([math.nan if math.isinf(v) else v for v in trace], dtype=torch.float64)
        torch.testing.assert_close(result.trace[i], expected, atol=1e-6, rtol=0, equal_nan=True)


@pytest.mark.parametrize("restart", [True, False])
def test_penalty_agrees_with_algorithm_3(setting, restart):
    model, x, y = setting
    attack = uae.PenaltyAttack(
        0.3, steps=5, searches=7, alpha=0.02, mi=MINE, maximize_mi=True, restart_critic=restart, batch_size=4
    )
    result = attack(losses.Margin(model, y), x, seed=SEED, trace=True)
    assert result.success.sum() > 0
    assert result.trace.shape == (6, 35)
    searched = set()
    for i in range(len(x)):
        one = OneSample(model, x[i], y[i], i, 0.3)
        kept, best, tried = algorithm_3(one, 7, 5, 0.02, restart)
        agrees(result, i, x[i], kept, best)
        searched.add(tuple(tried))
        if kept is not None:
            assert result.trace[i, -1].item() == pytest.approx(best, abs=1e-6)
            assert result.trace[i, int(result.step[i]) - 1].item() == pytest.approx(best, abs=1e-6)
    assert len(searched) > 1  # the samples searched apart


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=1, max_size=12))
def test_the_binary_search_of_each_sample_is_its_own(outcomes):
    """Lines 14 to 26 of Algorithm 3 for three samples with any outcomes, in float64."""
    c, lower, upper = (torch.full((3,), v, dtype=torch.float64) for v in (1e-3, 1e-3, 1e9))
    scalars = [(1e-3, 1e-3, 1e9)] * 3
    for outcome in outcomes:
        c, lower, upper = bisect(c, lower, upper, torch.tensor(outcome), 1e9)
        for i, success in enumerate(outcome):
            one, lb, ub = scalars[i]
            if success:
                ub = min(ub, one)
                if ub < 1e9:
                    one = (lb + ub) / 2
            else:
                lb = max(lb, one)
                one = (lb + ub) / 2 if ub < 1e9 else one * 10
            scalars[i] = one, lb, ub
        found = list(zip(c.tolist(), lower.tolist(), upper.tolist(), strict=True))
        assert found == [pytest.approx(s, rel=1e-12) for s in scalars]


@pytest.mark.parametrize(
    "attack",
    [
        uae.MinMaxAttack(0.3, steps=450, alpha=0.5, beta=0.5, mi=MINE, maximize_mi=True),
        uae.PenaltyAttack(0.3, steps=50, alpha=0.5, mi=MINE, maximize_mi=True),
    ],
)
def test_inside_both_balls_after_many_bounces(setting, attack):
    """In float32, with steps that leave both balls each time."""
    model, x, y = setting
    model, x = copy.deepcopy(model).float(), x.float()
    result = attack(losses.Margin(model, y), x)
    assert result.success.any()
    assert (result.adv >= 0).all() and (result.adv <= 1).all()
    assert (result.adv - x).abs().max() <= 0.3 + 1e-6


def test_a_sample_alone_and_in_a_batch(setting):
    model, x, y = setting
    common = {"steps": 4, "searches": 4, "alpha": 0.02, "mi": MINE, "maximize_mi": True}
    whole = uae.PenaltyAttack(**common)(losses.Margin(model, y), x, seed=SEED)
    rows = torch.tensor([4, 1, 2])
    part = uae.PenaltyAttack(**common, batch_size=2)(
        losses.Margin(model, y[rows]), x[rows], seed=SEED, index=rows
    )
    torch.testing.assert_close(part.adv, whole.adv[rows], atol=1e-9, rtol=0)
    torch.testing.assert_close(part.mi, whole.mi[rows], atol=1e-9, rtol=0, equal_nan=True)


def test_a_long_attack_tells_its_progress_within_a_chunk(setting):
    model, x, y = setting
    seen = []
    attack = uae.MinMaxAttack(steps=1001, mi=None, batch_size=4)
    attack(losses.Margin(model, y), x, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 6), (3, 6), (4, 6), (4, 6), (5, 6), (6, 6)]


def test_settings_out_of_range():
    for wrong, message in (({"searches": 0}, "searches"), ({"c0": 1e-4}, "lower <= c0"), ({"eps": 0}, "eps")):
        with pytest.raises(ValueError, match=message):
            uae.PenaltyAttack(**wrong)


def test_the_optional_tensors_of_a_result_are_saved(setting, tmp_path):
    model, x, y = setting
    result = uae.MinMaxAttack(steps=3, mi=MINE, maximize_mi=True)(losses.Margin(model, y), x, trace=True)
    result.save(tmp_path / "r.safetensors")
    found = uae.AttackResult.load(tmp_path / "r.safetensors")
    assert torch.equal(found.eligible, result.eligible)
    torch.testing.assert_close(found.trace, result.trace.float(), equal_nan=True)
    assert found.success_rate == result.success_rate
