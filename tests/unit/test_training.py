"""Models and training: sizes, Keras' settings, losses that fall, resuming, divergence."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import mean_squared_error

from uae import augment, checkpoints, models, storage
from uae.errors import BadFile, Diverged
from uae.evaluation import reconstruction
from uae.training import autoencoder


def discs() -> torch.Tensor:
    """40 images of a disc somewhere: something that an autoencoder can learn."""
    centres = torch.rand(40, 2, 1, 1, generator=torch.Generator().manual_seed(0)) * 8
    rows, columns = torch.meshgrid(torch.arange(8), torch.arange(8), indexing="ij")
    inside = (rows - centres[:, 0]) ** 2 + (columns - centres[:, 1]) ** 2 < 6
    return inside.float()[:, None]


X = discs()
RECIPES = {
    "dense": {"loss": "mse", "optimizer": "rmsprop", "lr": 0.0025, "batch_size": 10},
    "convolutional": {"loss": "bce", "optimizer": "adadelta", "lr": 1.0, "batch_size": 10},
}


@pytest.mark.parametrize(
    ("network", "shape", "arguments", "count"),
    [
        # Counted by hand from the layers of the released code.
        ("dense", (1, 28, 28), {"latent": 128}, 784 * 128 + 128 + 128 * 784 + 784),
        ("dense", (3, 32, 32), {"latent": 256}, 3072 * 256 + 256 + 256 * 3072 + 3072),
        ("convolutional", (1, 28, 28), {}, 416 + 3208 + 1608 + 3216 + 401),
        ("convolutional", (3, 32, 32), {}, 1216 + 3208 + 1608 + 3216 + 1203),
    ],
)
def test_sizes(network, shape, arguments, count):
    model = models.build(network, shape, **arguments)
    assert sum(p.numel() for p in model.parameters()) == count
    x = torch.rand(2, *shape)
    out = model(x)
    assert out.shape == x.shape
    assert (out > 0).all() and (out < 1).all()


def test_weights_start_as_in_keras():
    model = models.build("convolutional", (1, 28, 28))
    weight = model.encoder[3].weight
    limit = math.sqrt(6 / (25 * 16 + 25 * 8))
    assert 0.95 * limit < weight.abs().max() <= limit
    assert all((m.bias == 0).all() for m in model.modules() if hasattr(m, "weight"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(("resnet", (1, 8, 8)), "no network 'resnet'"), (("convolutional", (1, 10, 8)), "multiples of 4")],
)
def test_a_model_that_can_not_be_built(arguments, message):
    with pytest.raises(ValueError, match=message):
        models.build(*arguments)
    with pytest.raises(ValueError, match="takes \\['latent'\\], not \\['width'\\]"):
        models.build("dense", (1, 8, 8), width=3)


def keras_updates(name, lr):
    """Keras 2.2's update rules, written out in NumPy."""
    state = {}

    def step(p, g):
        a = state.get("a", np.zeros_like(p))
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


@pytest.mark.parametrize(("name", "lr"), [("rmsprop", 0.0025), ("adadelta", 1.0)])
def test_optimizers_are_those_of_keras(name, lr):
    generator = torch.Generator().manual_seed(0)
    p = torch.randn(7, generator=generator, dtype=torch.float64)
    ours = p.clone().requires_grad_()
    stepper, reference, expected = (
        autoencoder.OPTIMIZERS[name]([ours], lr),
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
    torch.testing.assert_close(autoencoder.binary_cross_entropy(output, target), expected)
    assert autoencoder.binary_cross_entropy(output, target - 0.5).isfinite()  # Gaussian noise goes below 0


@pytest.mark.parametrize("network", RECIPES)
def test_the_loss_falls(network):
    torch.manual_seed(0)
    model = models.build(network, (1, 8, 8))
    before = reconstruction.error(model.eval(), X)
    history = autoencoder.fit(model, X, **RECIPES[network], epochs=25, seed=0)
    assert len(history) == 25 and history[-1] < history[0]
    assert reconstruction.error(model, X) < 0.9 * before
    assert not model.training


@pytest.mark.parametrize("network", RECIPES)
def test_a_killed_training_ends_with_the_weights_of_an_unbroken_one(network, tmp_path, monkeypatch):
    monkeypatch.setattr(autoencoder, "SECONDS_BETWEEN_SAVES", -1)

    def start():
        torch.manual_seed(0)
        return models.build(network, (1, 8, 8))

    class Killed(Exception):
        pass

    def kill(done, loss):
        if done == 3:
            raise Killed

    unbroken, resumed, path = start(), start(), tmp_path / "x.partial"
    history = autoencoder.fit(unbroken, X, **RECIPES[network], epochs=6, seed=5)
    with pytest.raises(Killed):
        autoencoder.fit(resumed, X, **RECIPES[network], epochs=6, seed=5, resume=path, tag="t", progress=kill)
    resumed, epochs = start(), []
    found = autoencoder.fit(
        resumed, X, **RECIPES[network], epochs=6, seed=5, resume=path, tag="t",
        progress=lambda done, loss: epochs.append(done),
    )  # fmt: skip
    assert epochs == [3, 4, 5, 6]
    assert found == history
    for name, weight in unbroken.state_dict().items():
        assert torch.equal(weight, resumed.state_dict()[name]), name


def test_a_state_of_other_settings_or_half_a_file_is_not_used(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(autoencoder, "SECONDS_BETWEEN_SAVES", -1)
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


def test_divergence_names_the_step_and_keeps_the_last_good_state(tmp_path, monkeypatch):
    monkeypatch.setattr(autoencoder, "SECONDS_BETWEEN_SAVES", -1)
    model, path = models.build("dense", (1, 8, 8)), tmp_path / "x.partial"

    def poison(done, loss):
        if done == 2:
            with torch.no_grad():
                model.encoder[1].weight[0, 0] = math.nan

    with pytest.raises(Diverged, match="nan at epoch 2, step 0"):
        autoencoder.fit(model, X, **RECIPES["dense"], epochs=5, seed=0, resume=path, progress=poison)
    arrays, metadata = storage.read_tensors(path)
    assert len(metadata["history"]) == 1  # the weights broke at the end of the second epoch
    assert all(np.isfinite(array).all() for array in arrays.values())


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


def test_gaussian_augmentation():
    x = torch.zeros(2000, 1, 4, 4)
    first, second = augment.gaussian(x, 0.01, seed=0, draw=0), augment.gaussian(x, 0.01, seed=0, draw=1)
    assert abs(first.mean()) < 3e-4  # not clipped: zero-mean
    assert first.std().item() == pytest.approx(0.01, rel=0.02)
    assert abs(torch.corrcoef(torch.stack([first.flatten(), second.flatten()]))[0, 1]) < 0.03
    torch.testing.assert_close(augment.gaussian(x[:5], 0.01, 0), first[:5])
    both = augment.augmented(x, first)
    assert torch.equal(both[:2000], x) and torch.equal(both[2000:], first)
    with pytest.raises(ValueError, match=r"\(3, 1, 4, 4\)"):
        augment.augmented(x, first[:3])


def test_a_checkpoint_comes_back_and_a_bad_one_is_named(tmp_path):
    model = models.build("dense", (1, 8, 8), latent=5).eval()
    metadata = {"network": "dense", "arguments": {"latent": 5}, "shape": [1, 8, 8]}
    path = tmp_path / "c.safetensors"
    checkpoints.save(path, model, metadata)
    loaded, found = checkpoints.load(path)
    assert found == metadata and not loaded.training
    assert torch.equal(loaded(X), model(X))
    for change, message in (
        ({"arguments": {"latent": 6}}, "size mismatch"),
        ({"network": "resnet"}, "no network"),
        ({"shape": [1, 4, 4]}, "size mismatch"),
    ):
        checkpoints.save(path, model, metadata | change)
        with pytest.raises(BadFile, match=rf"(?s)c\.safetensors.*{message}"):
            checkpoints.load(path)
