"""Reconstruction errors and success rates."""

import numpy as np
import pytest
from sklearn.metrics import mean_squared_error

from tests.trainings import discs
from uae import models
from uae.evaluation import reconstruction

X = discs()


def test_errors_agree_with_scikit_learn():
    model = models.build("dense", (1, 8, 8)).eval()
    out = model(X).detach()
    expected = mean_squared_error(X.flatten(1), out.flatten(1))
    assert reconstruction.error(model, X) == pytest.approx(expected, rel=1e-6)
    noisy = X + 0.1
    hits = [np.linalg.norm(x - model(n[None])[0].detach().numpy()) <= np.linalg.norm(x - o)
            for x, n, o in zip(X.numpy(), noisy, out.numpy(), strict=True)]  # fmt: skip
    assert reconstruction.success_rate(model, X, noisy) == pytest.approx(np.mean(hits))
    assert reconstruction.success_rate(model, X, X) == 1
