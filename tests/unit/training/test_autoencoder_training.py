"""Training: Keras' settings, losses that fall, sparsity, early stopping, resuming, divergence."""

import math

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from torch.distributions import Bernoulli, kl_divergence

from tests.trainings import discs, kill_and_resume, start, table
from uae import models, storage
from uae.errors import Diverged
from uae.evaluation import reconstruction
from uae.training import FITS, autoencoder, loop, losses, optimizers

X = discs()
SHAPE = (1, 8, 8)
RECIPES = {
    "dense": {"loss": "mse", "optimizer": "rmsprop", "lr": 0.0025, "batch_size": 10},
    "sparse": {
        "loss": "mse", "optimizer": "adam", "lr": 0.01, "batch_size": 10,
        "sparsity": 0.1, "sparsity_weight": 3.0, "l1": 1e-7,
    },
    "convolutional": {"loss": "bce", "optimizer": "adadelta", "lr": 1.0, "batch_size": 10},
}  # fmt: skip


def keras_updates(name, lr):
    """Keras 2.2's update rules, written out in NumPy (Adam's epsilon as Kingma and Ba have it)."""
    state = {}

    def step(p, g):
        a = state.get("a", np.zeros_like(p))
        if name == "adam":
            m, t = 0.9 * state.get("m", np.zeros_like(p)) + 0.1 * g, state.get("t", 0) + 1
            a = 0.999 * a + 0.001 * g**2
            state.update(a=a, m=m, t=t)
            return p - lr * (m / (1 - 0.9**t)) / (np.sqrt(a / (1 - 0.999**t)) + 1e-7)
        if name == "rmsprop":
            a = 0.9 * a + 0.1 * g**2
            state["a"] = a
            return p - lr * g / (np.sqrt(a) + 1e-7)
        d = state.get("d", np.zeros_like(p))
        a = 0.95 * a + 0.05 * g**2
        update = g * np.sqrt(d + 1e-7) / np.sqrt(a + 1e-7)
        state.update(a=a, d=0.95 * d + 0.05 * update**2)
        return p - lr * update

    return step


@pytest.mark.parametrize(("name", "lr"), [("rmsprop", 0.0025), ("adadelta", 1.0), ("adam", 1e-3)])
def test_optimizers_are_those_of_keras(name, lr):
    generator = torch.Generator().manual_seed(0)
    p = torch.randn(7, generator=generator, dtype=torch.float64)
    ours = p.clone().requires_grad_()
    stepper, reference, expected = (
        optimizers.OPTIMIZERS[name]([ours], lr),
        keras_updates(name, lr),
        p.numpy(),
    )
    for _ in range(20):
        g = torch.randn(7, generator=generator, dtype=torch.float64) * 1e-3
        ours.grad = g
        stepper.step()
        expected = reference(expected, g.numpy())
    np.testing.assert_allclose(ours.detach().numpy(), expected, rtol=1e-10)


def test_cross_entropy_agrees_with_pytorch_where_both_are_defined():
    output, target = torch.rand(2, 50, generator=torch.Generator().manual_seed(1))
    expected = torch.nn.functional.binary_cross_entropy(output, target)
    torch.testing.assert_close(losses.binary_cross_entropy(output, target), expected)
    assert losses.binary_cross_entropy(output, target - 0.5).isfinite()  # Gaussian noise goes below 0


@pytest.mark.parametrize("p", [0.1, 0.7])
def test_the_sparsity_term_is_the_kl_divergence_of_bernoullis(p):
    hidden = torch.rand(30, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    q = hidden.mean(dim=0)
    expected = kl_divergence(Bernoulli(torch.tensor(p, dtype=torch.float64)), Bernoulli(q))
    torch.testing.assert_close(losses.bernoulli_kl(p, q), expected)
    output = torch.rand(30, 1, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    found = losses.sparsity_penalty(hidden, output, p, 3.0, 1e-2)
    torch.testing.assert_close(found, 3 * expected.mean() + 1e-2 * (hidden.sum() + output.sum()) / 30)
    constant = torch.full((5, 6), p)
    zero = torch.zeros(5, 4)
    torch.testing.assert_close(losses.sparsity_penalty(constant, zero, p, 3.0, 0.0), torch.tensor(0.0))
    saturated = torch.ones(5, 6, requires_grad=True)
    losses.sparsity_penalty(saturated, zero, p, 3.0, 0.0).backward()
    assert saturated.grad.isfinite().all()


@pytest.mark.parametrize("units", [1, 128, 256])
def test_the_sparsity_term_does_not_grow_with_the_number_of_units(units):
    """All units at activation 1/2: KL(0.1 || 0.5) = ln 2 - H(0.1) = 0.36806 nats, times the weight."""
    closed_form = math.log(2) + 0.1 * math.log(0.1) + 0.9 * math.log(0.9)
    found = losses.sparsity_penalty(torch.full((7, units), 0.5), torch.zeros(7, 4), 0.1, 3.0, 0.0)
    assert found.item() == pytest.approx(3 * closed_form, rel=1e-6)


def test_sparse_training_makes_the_hidden_units_sparse():
    activation = {}
    for weight in (0.0, 3.0):
        model = start("sparse", SHAPE)
        recipe = RECIPES["sparse"] | {"sparsity_weight": weight}
        history = autoencoder.fit(model, X, **recipe, epochs=40, seed=0)
        activation[weight] = model.encoder(X).mean(dim=0)
    assert (activation[3.0] - 0.1).abs().mean() < 0.05 < (activation[0.0] - 0.1).abs().mean()
    # Its history is the whole loss: near the end the reconstruction is nearly all of it.
    assert history[-1] >= reconstruction.error(model, X) * 0.9


@pytest.mark.parametrize("network", RECIPES)
def test_the_loss_falls(network):
    model = start(network, SHAPE)
    before = reconstruction.error(model.eval(), X)
    history = autoencoder.fit(model, X, **RECIPES[network], epochs=25, seed=0)
    assert len(history) == 25 and history[-1] < history[0]
    assert reconstruction.error(model, X) < 0.9 * before
    assert not model.training


def test_a_table_is_fitted_too():
    x = table()
    model = start("dense", (12,), latent=4)
    before = reconstruction.error(model.eval(), x)
    autoencoder.fit(model, x, **RECIPES["dense"], epochs=60, seed=0)
    assert reconstruction.error(model, x) < 0.3 * before


@pytest.mark.parametrize(
    ("training", "arguments", "recipe"),
    [
        ("autoencoder", {}, RECIPES["dense"]),
        ("adversarial", {"width": 50}, {"lr": 3e-3, "batch_size": 10}),
        ("concrete", {"width": 50}, {"tries": 1, "lr": 0.01, "batch_size": 10}),
    ],
)
def test_the_output_is_compared_with_the_target(training, arguments, recipe):
    noisy = X + 0.3 * torch.randn(X.shape, generator=torch.Generator().manual_seed(0))
    model = start({"autoencoder": "dense"}.get(training, training), SHAPE, **arguments)
    negative = 1 - X
    history = FITS[training](model, noisy, target=negative, **recipe, epochs=30, seed=0)
    with torch.no_grad():
        output = model(noisy)
    assert (output - negative).square().mean() < 0.5 * (output - X).square().mean()
    assert history[-1] < history[0]
    with pytest.raises(ValueError, match=r"targets have shape \(40,\), the inputs \(40, 1, 8, 8\)"):
        FITS[training](model, X, target=X[:, 0, 0, 0], **recipe, epochs=1, seed=0)


@pytest.mark.parametrize(
    ("n", "batch_size", "steps"), [(60000, 100, 600), (101, 100, 2), (60000, None, 257), (864, None, 54)]
)
def test_steps_per_epoch(n, batch_size, steps):
    # None: 60000 // 256 = 234 samples a batch; 864 // 256 = 3, so 16.
    assert loop.steps_per_epoch(n, batch_size) == steps


@pytest.mark.parametrize(
    ("history", "patience", "min_delta", "stops"),
    [
        ([1.0, 0.9, 0.8], 1, 0.0, False),
        ([1.0, 0.9, 0.9], 1, 0.0, True),  # the same loss is no improvement
        ([1.0, 0.9, 0.95, 0.92], 2, 0.0, True),
        ([1.0, 0.9, 0.95, 0.89], 2, 0.0, False),
        ([1.0, 0.9, 0.95, 0.92], None, 0.0, False),
        ([1.0, 0.995, 0.991], 2, 0.01, True),  # each better, by less than 1 %
        ([1.0, 0.995, 0.98], 2, 0.01, False),  # 2 % below the last improvement
        ([], 1, 0.0, False),
    ],
)
def test_when_a_training_has_stalled(history, patience, min_delta, stops):
    assert loop.stalled(history, patience, min_delta) is stops


# Noise, one hidden unit and large steps: the loss goes up and down, lowest in epoch 13 of the first 17.
NOISE = torch.rand(40, 12, generator=torch.Generator().manual_seed(3))
ERRATIC = {"loss": "mse", "optimizer": "rmsprop", "lr": 0.2, "batch_size": 4}


def erratic():
    return start("dense", (12,), latent=1)


def test_early_stopping_ends_at_the_first_stalled_epoch():
    free = autoencoder.fit(erratic(), NOISE, **ERRATIC, epochs=17, seed=5)
    stopped = autoencoder.fit(erratic(), NOISE, **ERRATIC, epochs=17, seed=5, patience=3, min_delta=0.01)
    assert stopped == free[: len(stopped)] and len(stopped) < len(free)
    assert min(stopped[-3:]) > 0.99 * min(stopped[:-3])


def test_the_weights_of_the_lowest_training_loss_are_kept():
    model, seen = erratic(), []

    def remember(done, loss):
        seen.append({name: weight.clone() for name, weight in model.state_dict().items()})

    history = autoencoder.fit(model, NOISE, **ERRATIC, epochs=17, seed=5, keep_best=True, progress=remember)
    best = int(np.argmin(history))
    assert 0 < best < len(history) - 1
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, seen[best][name]), name


@pytest.mark.parametrize("network", RECIPES)
def test_a_killed_training_ends_with_the_weights_of_an_unbroken_one(network, tmp_path):
    _, epochs = kill_and_resume(
        "autoencoder", lambda: start(network, SHAPE), X, 3, tmp_path / "x.partial",
        **RECIPES[network], epochs=6,
    )  # fmt: skip
    assert epochs == [3, 4, 5, 6]


def test_a_killed_training_keeps_its_best_weights_and_its_patience(tmp_path):
    history, epochs = kill_and_resume(
        "autoencoder", erratic, NOISE, 16, tmp_path / "x.partial",
        **ERRATIC, epochs=30, keep_best=True, patience=5,
    )  # fmt: skip
    assert np.argmin(history) < epochs[0] - 1  # the best weights are those from the file
    assert epochs[-1] == len(history) < 30


def test_a_state_keeps_the_seconds_of_all_runs(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_SAVES", -1)
    path, recipe = tmp_path / "x.partial", RECIPES["dense"]

    def seconds(epochs):
        model = models.build("dense", (1, 8, 8))
        autoencoder.fit(model, X, **recipe, epochs=epochs, seed=0, resume=path, tag="a")
        return storage.read_tensors(path)[1]["seconds"]

    assert 0 < seconds(2) < 60
    arrays, metadata = storage.read_tensors(path)
    storage.write_tensors(path, arrays, metadata | {"seconds": 1000.0})
    assert 1000 < seconds(3) < 1060


def test_a_state_of_other_settings_or_half_a_file_is_not_used(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_SAVES", -1)
    path, recipe = tmp_path / "x.partial", RECIPES["dense"]
    autoencoder.fit(models.build("dense", (1, 8, 8)), X, **recipe, epochs=2, seed=0, resume=path, tag="a")

    def epochs(tag):
        done = []
        autoencoder.fit(
            models.build("dense", (1, 8, 8)), X, **recipe, epochs=3, seed=0, resume=path, tag=tag,
            progress=lambda n, loss: done.append(n),
        )  # fmt: skip
        return done

    assert epochs("b") == [1, 2, 3]
    path.write_bytes(path.read_bytes()[:100])
    assert epochs("b") == [1, 2, 3]
    assert "x.partial" in caplog.text
    arrays, _ = storage.read_tensors(path)
    save_file(arrays, path)  # whole, but not ours: without metadata
    assert epochs("b") == [1, 2, 3]


@pytest.mark.parametrize("half", [False, True])
def test_a_file_that_is_no_state_is_refused_and_left_alone(half, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_SAVES", -1)
    path = tmp_path / "precious.safetensors"
    save_file({"precious": np.zeros(2)}, path)
    path.write_bytes(before := path.read_bytes()[: 20 if half else None])
    with pytest.raises(ValueError, match=r"precious\.safetensors: is not the progress"):
        autoencoder.fit(
            models.build("dense", (1, 8, 8)), X, **RECIPES["dense"], epochs=1, seed=0, resume=path, tag="a"
        )
    assert path.read_bytes() == before


def test_divergence_names_the_step_and_keeps_the_last_good_state(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_SAVES", -1)
    model, path = models.build("dense", (1, 8, 8)), tmp_path / "x.partial"

    def poison(done, loss):
        if done == 2:
            with torch.no_grad():
                model.encoder[1].weight[0, 0] = math.nan

    with pytest.raises(Diverged, match="weights are not finite after epoch 1, step 3"):
        autoencoder.fit(model, X, **RECIPES["dense"], epochs=5, seed=0, resume=path, progress=poison)
    arrays, metadata = storage.read_tensors(path)
    assert len(metadata["history"]) == 1  # the weights broke at the end of the second epoch
    assert all(np.isfinite(array).all() for array in arrays.values())


def test_a_loss_that_is_not_finite_names_its_step():
    x = X.clone()
    x[7, 0, 3, 3] = math.nan
    seen = []  # whether a batch held the bad sample
    model = start("dense", SHAPE)
    model.encoder.register_forward_pre_hook(lambda m, inputs: seen.append(bool(inputs[0].isnan().any())))
    with pytest.raises(Diverged) as error:
        autoencoder.fit(model, x, **RECIPES["dense"], epochs=5, seed=0)
    assert str(error.value) == f"the loss is nan at epoch 0, step {seen.index(True)}"
