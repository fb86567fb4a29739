"""The classifier's training: Keras' updates, labels, resuming."""

import numpy as np
import pytest
import torch
from torch import nn

from uae import models
from uae.evaluation import robustness
from uae.training import classifier, loop


def quadrants(count=60):
    """Images with a bright quadrant: the label says which."""
    generator = torch.Generator().manual_seed(0)
    y = torch.randint(0, 4, (count,), generator=generator)
    x = 0.3 * torch.rand(count, 1, 16, 16, generator=generator)
    for i, label in enumerate(y.tolist()):
        row, column = 8 * (label // 2), 8 * (label % 2)
        x[i, 0, row : row + 8, column : column + 8] += 0.7
    return x, y


X, Y = quadrants()
OPTIONS = {"batch_size": 8, "seed": 0}


def small():
    torch.manual_seed(0)
    return models.build("carlini-wagner", X.shape[1:], widths=(16, 16, 32), classes=4)


@pytest.mark.parametrize(("decay", "tolerance"), [(0.0, 1e-10), (1e-6, 1e-5)])
def test_the_updates_are_those_of_keras(decay, tolerance):
    """Keras 2.2's SGD in NumPy: iterations-based decay, Nesterov momentum as it writes it."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(256, 4)).double()
    weight, bias = (p.detach().numpy().copy() for p in model.parameters())
    x, y = X.double(), Y
    orders = [loop._shuffled(torch.arange(len(x)), 0, epoch) for epoch in range(2)]
    classifier.fit(model, x, y, lr=0.5, decay=decay, epochs=2, **OPTIONS)
    velocity = [np.zeros_like(weight), np.zeros_like(bias)]
    t = 0
    for order in orders:
        for rows in order.split(8):
            a, target = x[rows].flatten(1).numpy(), y[rows].numpy()
            scores = a @ weight.T + bias
            share = np.exp(scores - scores.max(1, keepdims=True))
            share /= share.sum(1, keepdims=True)
            share[np.arange(len(rows)), target] -= 1
            rate = 0.5 / (1 + decay * t)
            for i, (parameter, g) in enumerate(((weight, share.T @ a / len(rows)), (bias, share.mean(0)))):
                velocity[i] = 0.9 * velocity[i] - rate * g
                parameter += 0.9 * velocity[i] - rate * g
            t += 1
    # As the rate decays, Keras scales a gradient by the rate of its own step, PyTorch all by today's.
    np.testing.assert_allclose(model[1].weight.detach().numpy(), weight, atol=tolerance, rtol=0)


def test_it_learns():
    model = small()
    history = classifier.fit(model, X, Y, epochs=40, **OPTIONS)
    assert len(history) == 40 and history[-1] < 0.2 * history[0]
    assert not model.training
    assert robustness.accuracy(model, X, Y) > 0.95


def test_a_killed_training_ends_with_the_weights_of_an_unbroken_one(tmp_path, monkeypatch):
    """Dropout and momentum included."""
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_SAVES", -1)

    class Killed(Exception):
        pass

    def kill(done, loss):
        if done == 2:
            raise Killed

    unbroken, path = small(), tmp_path / "x.partial"
    classifier.fit(unbroken, X, Y, epochs=4, **OPTIONS)
    with pytest.raises(Killed):
        classifier.fit(small(), X, Y, epochs=4, resume=path, tag="t", progress=kill, **OPTIONS)
    resumed, epochs = small(), []
    classifier.fit(
        resumed, X, Y, epochs=4, resume=path, tag="t", progress=lambda n, loss: epochs.append(n), **OPTIONS
    )
    assert epochs == [2, 3, 4]
    for name, weight in unbroken.state_dict().items():
        assert torch.equal(weight, resumed.state_dict()[name]), name


def test_a_label_without_a_logit_names_its_sample():
    with pytest.raises(ValueError, match=r"sample 3: the label 4 is outside 0\.\.3"):
        classifier.fit(small(), X, torch.where(torch.arange(60) == 3, 4, Y), epochs=1, **OPTIONS)
