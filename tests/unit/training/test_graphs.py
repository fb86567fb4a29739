"""Training steps as CUDA graphs end where the same steps without graphs do. On a GPU alone."""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial

import pytest
import torch

from uae import models
from uae.training import adversarial, autoencoder, classifier, concrete, graphs, loop, robust

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")

GENERATOR = torch.Generator().manual_seed(0)
X = torch.rand(230, 1, 28, 28, generator=GENERATOR)  # the last batch is smaller
Y = torch.randint(10, (230,), generator=GENERATOR)

ADVERSARY = robust.Adversary(eps=0.1, steps=3, step_size=0.05)
DEEP = {"objective": "trades", "adversary": ADVERSARY, "optimizer": "sgd", "lr": 0.01, "momentum": 0.9}
CASES = {
    "adadelta": ("convolutional", {}, autoencoder.fit, {"loss": "bce", "optimizer": "adadelta", "lr": 1.0}),
    "rmsprop": ("dense", {"latent": 8}, autoencoder.fit, {"loss": "mse", "optimizer": "rmsprop", "lr": 1e-3}),
    "sparse": (
        "dense",
        {"latent": 8},
        autoencoder.fit,
        {"loss": "mse", "optimizer": "adam", "lr": 1e-3, "sparsity_weight": 1.0, "l1": 1e-7},
    ),
    "adversarial": ("adversarial", {"latent": 2}, adversarial.fit, {"lr": 1e-4}),
    "concrete": ("concrete", {"features": 5}, concrete.fit, {"tries": 2}),
    "classifier": ("carlini-wagner", {}, partial(classifier.fit, target=Y), {"lr": 0.05, "decay": 1e-2}),
    "madry": (
        "madry",
        {},
        partial(robust.fit, target=Y),
        {"objective": "madry", "adversary": ADVERSARY, "optimizer": "adam", "lr": 1e-3, "warmup": 2},
    ),
    "trades": (
        "resnet18",
        {"width": 8, "classes": 10},
        partial(robust.fit, target=Y),
        DEEP | {"milestones": [2]},
    ),
}


def trained(case: str, epochs: int = 4, **options):
    network, arguments, fit, settings = CASES[case]
    torch.manual_seed(0)
    model = models.build(network, X.shape[1:], **arguments).cuda()
    if "target" in getattr(fit, "keywords", {}):
        fit = partial(fit.func, target=Y.cuda())
    history = fit(model, X.cuda(), batch_size=50, epochs=epochs, seed=0, **settings, **options)
    return torch.tensor(history), torch.cat([w.detach().flatten() for w in model.parameters()])


@pytest.fixture(autouse=True)
def full_precision(monkeypatch):
    """The order of a sum's terms differs from run to run on a GPU: what is left is compared in float32."""
    monkeypatch.setattr(robust, "autocast", lambda device: nullcontext())
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


@pytest.mark.parametrize("case", CASES)
def test_a_graph_s_steps_are_those_without(case, monkeypatch):
    captured, ours = [], trained(case)
    monkeypatch.setattr(graphs, "WARM_UP", 10**9)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: captured.append(1))
    history, weights = trained(case)
    assert not captured
    torch.testing.assert_close(ours[0], history, rtol=2e-3, atol=1e-5)
    moved = (weights - trained(case, epochs=0)[1]).norm()
    assert (ours[1] - weights).norm() < 0.05 * moved


@pytest.mark.parametrize("case", ["adadelta", "adversarial", "madry"])
def test_a_resumed_training_goes_on_as_if_unbroken(case, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_SAVES", -1)
    path = tmp_path / "x.partial"
    trained(case, epochs=2, resume=path, tag="t")
    resumed, unbroken = trained(case, resume=path, tag="t"), trained(case)
    torch.testing.assert_close(resumed[0], unbroken[0], rtol=2e-3, atol=1e-5)


def test_a_graph_is_replayed_and_a_smaller_batch_runs_beside_it():
    seen = []
    weight = torch.ones((), device="cuda")

    @graphs.Graphed
    def update(batch, factor):
        seen.append(len(batch))
        weight.add_(factor * batch.sum())
        return weight.clone()

    losses = [update(torch.ones(size, device="cuda"), float(i)) for i, size in enumerate([4] * 8 + [3] + [4])]
    assert seen == [4] * 4 + [3]
    totals = [1 + sum(4 * k for k in range(i + 1)) for i in range(8)]
    assert [loss.item() for loss in losses] == [*totals, totals[-1] + 24, totals[-1] + 24 + 36]


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="no second GPU")
def test_a_graph_is_captured_on_the_device_of_its_batch():
    device = torch.device("cuda", 1)
    update = graphs.Graphed(lambda batch: 2 * batch.sum())
    assert [update(torch.full((3,), float(i), device=device)).item() for i in range(6)] == [
        6 * i for i in range(6)
    ]
    assert update.stream.device == device
