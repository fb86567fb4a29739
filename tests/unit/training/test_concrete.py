"""The concrete autoencoder: the concrete distribution, the schedule, the selection, its tries."""

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from tests.trainings import discs, kill_and_resume, start
from uae.evaluation import reconstruction
from uae.losses import Reconstruction
from uae.models.concrete import relaxed_one_hot
from uae.training import concrete

X = discs()
SMALL = {"features": 4, "width": 32}
RECIPE = {"lr": 0.02, "batch_size": 16}


def informative(count: int = 160) -> tuple[torch.Tensor, set[int]]:
    """A table (count, 12) where four columns say all: the others are their averages, or nearly constant."""
    generator = torch.Generator().manual_seed(0)
    x = 0.5 + 0.01 * torch.randn(count, 12, generator=generator)
    columns = [1, 4, 6, 11]
    x[:, columns] = (torch.rand(count, 4, generator=generator) > 0.5).float()
    x[:, 8] = x[:, columns].mean(dim=1)
    return x, set(columns)


@pytest.mark.parametrize("temperature", [10.0, 0.1])
def test_draws_follow_the_concrete_distribution(temperature):
    logits = torch.tensor([0.0, 1.0, -1.0, 2.0, 0.5])
    torch.manual_seed(0)
    draws = relaxed_one_hot(logits.expand(20000, 5), temperature)
    torch.testing.assert_close(draws.sum(dim=1), torch.ones(20000))
    counts = np.bincount(draws.argmax(dim=1), minlength=5)
    odds = np.exp(logits.double().numpy())
    assert chisquare(counts, 20000 * odds / odds.sum()).pvalue > 1e-3
    assert (draws.max(dim=1).values.mean() > 0.9) == (temperature == 0.1)


def test_the_logarithm_of_ratios_is_logistic():
    """Of two entries, T log(y1 / y2) is logistic about their logits' difference (Maddison et al. 2017)."""
    logits, temperature = torch.tensor([1.0, 0.3]).double(), 0.5
    torch.manual_seed(1)
    draws = relaxed_one_hot(logits.expand(40000, 2), temperature)
    ratio = temperature * (draws[:, 0] / draws[:, 1]).log()
    assert ratio.mean().item() == pytest.approx(0.7, abs=0.03)
    assert ratio.std().item() == pytest.approx(np.pi / np.sqrt(3), rel=0.02)


def test_the_temperature_falls_geometrically_to_its_end():
    model, seen = start("concrete", (1, 8, 8), **SMALL), []
    model.select.register_forward_pre_hook(lambda layer, inputs: seen.append(layer.temperature))
    concrete.fit(model, X, epochs=5, tries=2, seed=0, **RECIPE)
    # 40 samples are 3 batches of 16; the first try is 5 epochs, the second 10.
    for part, steps in ((seen[:15], 15), (seen[15:], 30)):
        assert part == pytest.approx([10.0 * 0.01 ** (i / steps) for i in range(1, steps + 1)])
        ratios = np.divide(part[1:], part[:-1])
        # The published code multiplies by exp(log(0.1 / 10) / steps) before each step.
        np.testing.assert_allclose(ratios, np.exp(np.log(0.1 / 10) / steps))
    assert seen[-1] == pytest.approx(0.1)


def test_the_informative_columns_are_found():
    x, columns = informative()
    model = start("concrete", (12,), **SMALL)
    before = reconstruction.error(model.eval(), x)
    history = concrete.fit(model, x, epochs=60, tries=1, seed=0, lr=0.04, batch_size=16)
    assert set(model.features.tolist()) == columns
    assert model.certainty >= 0.998
    assert history[-1] < 0.1 * history[0] and reconstruction.error(model, x) < 0.1 * before
    assert not model.training


def test_evaluation_selects_columns_exactly_and_passes_gradients():
    model = start("concrete", (1, 8, 8), **SMALL).eval()
    with torch.no_grad():
        model.select.logits.zero_()
        for row, column in enumerate((5, 63, 5, 0)):
            model.select.logits[row, column] = 1.0
    assert model.features.tolist() == [5, 63, 5, 0]
    assert torch.equal(model.encoder(X), X.flatten(1)[:, [5, 63, 5, 0]])
    x = X[:3].clone().requires_grad_()
    Reconstruction(model)(x, X[:3]).sum().backward()
    moved = x.grad.flatten(1).abs().sum(dim=0).nonzero().flatten().tolist()
    assert moved == [0, 5, 63]
    torch.testing.assert_close(model(X[:2]), model(X)[:2])  # no dropout, no draw


def test_an_unsettled_selection_starts_again_for_twice_the_epochs(caplog):
    def epochs(certainty):
        model = start("concrete", (1, 8, 8), **SMALL)
        return len(concrete.fit(model, X, epochs=2, tries=3, seed=0, certainty=certainty, **RECIPE))

    assert epochs(1 / 64) == 2  # the largest of 64 probabilities is never less
    assert not caplog.text
    assert epochs(0.9999) == 2 + 4 + 8
    assert "not 0.9999" in caplog.text


def test_the_next_try_begins_from_new_weights():
    model, weights, gradients = start("concrete", (1, 8, 8), **SMALL), [], []
    model.select.logits.register_hook(lambda gradient: gradients.append(gradient.clone()))
    model.select.register_forward_pre_hook(
        lambda layer, inputs: weights.append(layer.logits.detach().clone())
    )
    concrete.fit(model, X, epochs=2, tries=2, seed=0, certainty=1.0, lr=0.02, batch_size=40)
    first, last, again, after = weights[:4]  # one step an epoch, two epochs the first try
    assert (last - first).abs().max() < 0.0201 and (again - last).abs().mean() > 0.1
    # Adam's first step from moments at zero
    expected = again - 0.02 * gradients[2] / (gradients[2].abs() + 1e-7)
    torch.testing.assert_close(after, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kill_at", [3, 5])
def test_a_killed_training_ends_with_the_weights_of_an_unbroken_one(kill_at, tmp_path):
    # The first try ends after 2 epochs: killed in the first epoch of the second try, and later in it.
    history, epochs = kill_and_resume(
        "concrete", lambda: start("concrete", (1, 8, 8), **SMALL), X, kill_at, tmp_path / "x.partial",
        **RECIPE, epochs=2, tries=2, certainty=1.0,
    )  # fmt: skip
    assert epochs == list(range(kill_at, 7)) and len(history) == 6
