"""Flips, rotation and noise of training sets, and the data names that ask for them."""

import numpy as np
import pytest
import scipy.ndimage
import torch

from uae.data import catalogue, prepared, transforms
from uae.errors import DataError

N = 300
X = np.random.default_rng(1).integers(0, 256, (N, 3, 12, 12), dtype=np.uint8)
Y = np.arange(N) % 10


def name(flip=False, rotation=False, sigma=0.0):
    return catalogue.DataName("svhn-10k", None, flip, rotation, sigma)


def copies(x=X, index=None, **asked):
    out = transforms.augmented(x, Y[: len(x)], np.arange(len(x)) if index is None else index, name(**asked))
    return out["x_train"], out["y_train"]


def test_originals_come_first_and_labels_twice():
    for asked in ({"flip": True}, {"rotation": True}, {"flip": True, "rotation": True}):
        x, y = copies(**asked)
        assert x.dtype == np.uint8 and x.shape == (2 * N, 3, 12, 12)
        np.testing.assert_array_equal(x[:N], X)
        np.testing.assert_array_equal(y, np.concatenate([Y, Y]))
        assert (x[N:] != X).any()


def test_each_copy_is_one_of_the_four_flips_about_equally_often():
    x, _ = copies(flip=True)
    flips = [X, X[..., ::-1], X[..., ::-1, :], X[..., ::-1, ::-1]]
    which = np.array([(x[N:] == flip).all(axis=(1, 2, 3)) for flip in flips])
    assert (which.sum(axis=0) == 1).all()
    assert (np.abs(which.mean(axis=1) - 1 / 4) < 4 * np.sqrt(3 / 16 / N)).all()


@pytest.mark.parametrize("size", [(20, 20), (16, 24)])
@pytest.mark.parametrize("degrees", [-10.0, -3.3, 7.0, 10.0])
def test_rotation_agrees_with_scipy(size, degrees):
    x = np.random.default_rng(0).random((2, 3, *size), dtype=np.float32)
    found = transforms.rotated(torch.from_numpy(x), torch.tensor([degrees, -degrees])).numpy()
    for i, angle in enumerate([degrees, -degrees]):
        expected = scipy.ndimage.rotate(x[i], angle, axes=(2, 1), reshape=False, order=1, mode="nearest")
        np.testing.assert_allclose(found[i], expected, atol=2e-5)


def test_rotation_by_nothing_is_the_identity():
    x = torch.from_numpy(X).float() / 255
    turned = transforms.rotated(x, torch.zeros(N))
    np.testing.assert_array_equal((turned * 255).round().to(torch.uint8).numpy(), X)


def test_rotations_are_spread_over_ten_degrees(monkeypatch):
    seen = []
    monkeypatch.setattr(transforms, "rotated", lambda x, degrees: seen.append(degrees) or x)
    copies(rotation=True)
    degrees = torch.cat(seen).double()
    assert degrees.abs().max() <= 10 and degrees.min() < -9 and degrees.max() > 9
    assert abs(degrees.std() - 20 / np.sqrt(12)) < 0.5  # a uniform distribution's


def test_noise_has_the_level_asked_for():
    x, _ = copies(sigma=0.01)
    assert x.dtype == np.float32
    np.testing.assert_array_equal(x[:N], X.astype(np.float32) / 255)  # originals have none
    noise = (x[N:] - x[:N])[np.abs(x[:N] - 0.5) < 0.46]  # where nothing is clipped
    assert abs(noise.std() / 0.01 - 1) < 0.02
    assert abs(noise.mean()) < 4 * 0.01 / np.sqrt(noise.size)


def test_noise_is_clipped_to_the_bounds():
    x, _ = copies(sigma=0.2)
    assert x.min() == 0 and x.max() == 1
    # Of black pixels half stay black: the noise that would lead below 0.
    black = np.zeros((50, 1, 12, 12), np.uint8)
    assert abs((copies(black, sigma=0.2)[0][50:] == 0).mean() - 0.5) < 4 * np.sqrt(0.25 / black.size)


def test_noise_comes_after_flip_and_rotation():
    moved = copies(flip=True, rotation=True)[0][N:] / 255
    noisy = copies(flip=True, rotation=True, sigma=1e-4)[0][N:]
    assert np.abs(noisy - moved).max() < 0.5 / 255 + 6e-4


@pytest.mark.parametrize("asked", [{"flip": True}, {"rotation": True}, {"sigma": 0.05}])
def test_a_copy_does_not_depend_on_the_samples_beside_it(asked, monkeypatch):
    whole = copies(**asked)[0][N:]
    rows = np.array([3, 50, 299])
    part = transforms.augmented(X[rows], Y[rows], rows, name(**asked))["x_train"][3:]
    np.testing.assert_array_equal(part, whole[rows])
    monkeypatch.setattr(transforms, "BLOCK", 7)
    np.testing.assert_array_equal(copies(**asked)[0][N:], whole)


def test_tables_take_noise_but_no_flips():
    table = np.random.default_rng(0).random((N, 5), dtype=np.float32)
    x, _ = copies(table, sigma=0.01)
    assert x.shape == (2 * N, 5) and x.min() >= 0 and x.max() <= 1
    np.testing.assert_array_equal(x[:N], table)
    for asked in ({"flip": True}, {"rotation": True}):
        with pytest.raises(DataError, match="flips and rotations are for images"):
            copies(table, **asked)


def test_prepare_transforms_training_data_only(tmp_path):
    def load(data):
        prepared.prepare(data, tmp_path, tmp_path / "p.safetensors")
        return prepared.load(tmp_path / "p.safetensors")

    plain = load("digits-8x8")
    part = load("digits-8x8@100")
    for data in ("digits-8x8@100+flip", "digits-8x8@100+flip+rotation+noise-0.01"):
        found = load(data)
        np.testing.assert_array_equal(found.x_test, plain.x_test)
        np.testing.assert_array_equal(found.y_test, plain.y_test)
        np.testing.assert_array_equal(found.unit("train")[:100], part.unit("train"))
        np.testing.assert_array_equal(found.y_train, np.concatenate([part.y_train, part.y_train]))
        assert found.metadata["variant"] == data and "and of each a copy with" in found.metadata["title"]
    assert found.unit("train").dtype == found.unit("test").dtype == torch.float32
