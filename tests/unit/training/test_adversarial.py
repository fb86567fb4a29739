"""The adversarial autoencoder: its three updates, the prior, resuming."""

import pytest
import torch
from torch.nn import functional as F

from tests.trainings import discs, kill_and_resume, start
from uae.evaluation import reconstruction
from uae.training import adversarial, loop

X = discs()
SMALL = {"latent": 2, "width": 32}
RECIPE = {"loss": "mse", "optimizer": "adam", "lr": 3e-3, "batch_size": 10}


def test_the_reconstruction_loss_falls():
    model = start("adversarial", (1, 8, 8), **SMALL | {"latent": 8})
    before = reconstruction.error(model.eval(), X)
    history = adversarial.fit(model, X, **RECIPE, epochs=40, seed=0)
    assert len(history) == 40 and history[-1] < 0.5 * history[0]
    assert reconstruction.error(model, X) < 0.5 * before
    assert not model.training


def test_a_step_is_four_updates_written_out(monkeypatch):
    """One batch against the algorithm of Makhzani et al., each network with all its gradients at hand.

    In float64: Adam's first step is the gradient's sign, on which rounding decides where it is near 0.
    """
    x = X.double()
    monkeypatch.setitem(
        adversarial.PRIORS, "fixed", lambda code: torch.linspace(-1, 1, 80, dtype=x.dtype).reshape(40, 2)
    )
    ours, reference = (start("adversarial", (1, 8, 8), **SMALL).double() for _ in range(2))
    order = torch.randperm(80, generator=torch.Generator().manual_seed(1))
    monkeypatch.setattr(adversarial, "shuffled", lambda samples: order)
    monkeypatch.setattr(loop, "_shuffled", lambda x, seed, epoch: torch.arange(len(x)))
    recipe = RECIPE | {"batch_size": 40, "prior": "fixed"}
    history = adversarial.fit(ours, x, **recipe, epochs=1, seed=0)

    def update(loss, *modules, optimizer=None):
        parameters = [p for module in modules for p in module.parameters()]
        optimizer = optimizer or torch.optim.Adam(parameters, lr=3e-3, eps=1e-7)
        for p, g in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
            p.grad = g
        optimizer.step()

    loss = ((reference(x) - x) ** 2).mean()
    update(loss, reference.encoder, reference.decoder)
    judge, entropy = reference.discriminator, F.binary_cross_entropy_with_logits
    code, drawn = reference.encoder(x), adversarial.PRIORS["fixed"](None)
    seen, labels = torch.cat([drawn, code.detach()]), torch.cat([torch.ones(40, 1), torch.zeros(40, 1)]).to(x)
    adam = torch.optim.Adam(judge.parameters(), lr=3e-3, eps=1e-7)
    for rows in (order[:40], order[40:]):  # 80 samples in batches of 40
        update(entropy(judge(seen[rows]), labels[rows]), judge, optimizer=adam)
    update(entropy(judge(code), torch.ones(40, 1).to(x)), reference.encoder)
    assert history == pytest.approx([loss.item()])
    for (name, weight), expected in zip(ours.named_parameters(), reference.parameters(), strict=True):
        assert ((weight - expected).abs() > 1e-8).double().mean() < 0.001, name


def test_the_discriminator_ends_near_chance_when_the_codes_can_match_the_prior():
    """Points spread evenly on a square, and the uniform prior on the square of the codes."""
    x = torch.rand(256, 2, generator=torch.Generator().manual_seed(0))
    drawn = torch.rand(2000, 2, generator=torch.Generator().manual_seed(1))

    def judge(done, loss):
        """The share of draws and codes that the discriminator tells rightly."""
        with torch.no_grad():
            real, fake = model.discriminator(drawn) > 0, model.discriminator(model.encoder(x)) > 0
        right.append(((real.float().mean() + 1 - fake.float().mean()) / 2).item())

    model, right = start("adversarial", (2,), **SMALL), []
    recipe = RECIPE | {"lr": 1e-3, "batch_size": 64, "prior": "uniform"}
    adversarial.fit(model, x, **recipe, epochs=150, seed=1, progress=judge)
    assert max(right[:20]) > 0.8  # at first it does tell them
    assert 0.4 < min(right[-10:]) <= max(right[-10:]) < 0.6
    assert model.discriminator(drawn).sigmoid().mean().item() == pytest.approx(0.5, abs=0.1)
    codes = model.encoder(x).detach()
    # The prior's moments, which the discriminator was never shown as such
    assert (codes.mean(dim=0) - 0.5).abs().max() < 0.1
    assert (codes.std(dim=0) - 12**-0.5).abs().max() < 0.1


def test_a_killed_training_ends_with_the_weights_of_an_unbroken_one(tmp_path):
    _, epochs = kill_and_resume(
        "adversarial", lambda: start("adversarial", (1, 8, 8), **SMALL), X, 3, tmp_path / "x.partial",
        **RECIPE, epochs=6, keep_best=True,
    )  # fmt: skip
    assert epochs == [3, 4, 5, 6]
