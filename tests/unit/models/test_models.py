"""Models: sizes, ranges, shapes of images and tables, how the weights start, checkpoints."""

import itertools
import math

import pytest
import torch
from torch import nn

from tests.trainings import discs
from uae import checkpoints, models
from uae.errors import BadFile

X = discs()


def mlp(*sizes: int) -> int:
    return sum(a * b + b for a, b in itertools.pairwise(sizes))


@pytest.mark.parametrize(
    ("network", "shape", "arguments", "count"),
    [
        # Counted by hand from the layers of the released code.
        ("dense", (1, 28, 28), {"latent": 128}, 784 * 128 + 128 + 128 * 784 + 784),
        ("dense", (3, 32, 32), {"latent": 256}, 3072 * 256 + 256 + 256 * 3072 + 3072),
        ("dense", (77,), {"latent": 10}, 77 * 10 + 10 + 10 * 77 + 77),
        ("sparse", (1, 28, 28), {}, 784 * 128 + 128 + 128 * 784 + 784),
        ("convolutional", (1, 28, 28), {}, 416 + 3208 + 1608 + 3216 + 401),
        ("convolutional", (3, 32, 32), {}, 1216 + 3208 + 1608 + 3216 + 1203),
        (
            "adversarial",
            (1, 28, 28),
            {},
            mlp(784, 1000, 1000, 2) + mlp(2, 1000, 1000, 784) + mlp(2, 1000, 1000, 1),
        ),
        (
            "adversarial",
            (20,),
            {"latent": 3, "width": 50},
            mlp(20, 50, 50, 3) + mlp(3, 50, 50, 20) + mlp(3, 50, 50, 1),
        ),
        ("concrete", (1, 28, 28), {}, 50 * 784 + mlp(50, 320, 320, 784)),
        ("concrete", (77,), {"features": 10}, 10 * 77 + mlp(10, 320, 320, 77)),
    ],
)
def test_sizes(network, shape, arguments, count):
    torch.manual_seed(0)
    model = models.build(network, shape, **arguments).eval()
    assert sum(p.numel() for p in model.parameters()) == count
    x = torch.rand(3, *shape)
    out = model(x)
    assert out.shape == x.shape
    if network != "concrete":  # its output is linear
        assert (out > 0).all() and (out < 1).all()
    torch.testing.assert_close(model.decoder(model.encoder(x)), out)


def test_weights_start_as_in_keras():
    model = models.build("convolutional", (1, 28, 28))
    weight = model.encoder[3].weight
    limit = math.sqrt(6 / (25 * 16 + 25 * 8))
    assert 0.95 * limit < weight.abs().max() <= limit
    layers = [
        module
        for network in ("convolutional", "adversarial", "concrete")
        for module in models.build(network, (1, 28, 28)).modules()
        if isinstance(module, nn.Linear | nn.Conv2d)
    ]
    assert len(layers) == 5 + 9 + 3 and all((layer.bias == 0).all() for layer in layers)


IMAGES_ONLY = ("carlini-wagner", "madry", "wide-resnet")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("resnet", (1, 8, 8)), "no network 'resnet'"),
        (("convolutional", (1, 10, 8)), "multiples of 4"),
        (("convolutional", (77,)), r"needs images .* \(77,\)"),
        *(((name, (20,)), r"needs images \(C, H, W\), got samples of \(20,\)") for name in IMAGES_ONLY),
        *(((name, (28, 28)), r"needs images .* of \(28, 28\)") for name in IMAGES_ONLY),
        (("concrete", (7, 7)), "select 50 features of data that have 49"),
    ],
)
def test_a_model_that_can_not_be_built(arguments, message):
    with pytest.raises(ValueError, match=message):
        models.build(*arguments)
    with pytest.raises(ValueError, match="takes \\['latent'\\], not \\['width'\\]"):
        models.build("dense", (1, 8, 8), width=3)


@pytest.mark.parametrize(
    ("network", "arguments"),
    [
        ("dense", {"latent": 0}),
        ("dense", {"latent": "a"}),
        ("dense", {"latent": 1.5}),
        ("dense", {"latent": True}),
        ("convolutional", {"widths": (4, 0)}),
        ("resnet18", {"classes": -1}),
    ],
)
def test_a_size_that_is_none_is_named(network, arguments):
    (name,) = arguments
    with pytest.raises(ValueError, match=rf"network {network}: {name} takes whole numbers from 1"):
        models.build(network, (3, 16, 16), **arguments)
    models.build("resnet18", (3, 16, 16), width=8, classes=None)  # its default


@pytest.mark.parametrize(
    ("network", "arguments"),
    [("dense", {"latent": 5}), ("adversarial", {"width": 6}), ("concrete", {"features": 4, "width": 6})],
)
def test_a_checkpoint_comes_back_and_a_bad_one_is_named(network, arguments, tmp_path):
    model = models.build(network, (1, 8, 8), **arguments).eval()
    metadata = {"network": network, "arguments": arguments, "shape": [1, 8, 8]}
    path = tmp_path / "c.safetensors"
    checkpoints.save(path, model, metadata)
    loaded, found = checkpoints.load(path)
    assert found == metadata and not loaded.training
    assert torch.equal(loaded(X), model(X))
    for change, message in (
        ({"arguments": {key: value + 1 for key, value in arguments.items()}}, "size mismatch"),
        ({"network": "resnet"}, "no network"),
        ({"shape": [1, 4, 4]}, "size mismatch"),
    ):
        checkpoints.save(path, model, metadata | change)
        with pytest.raises(BadFile, match=rf"(?s)c\.safetensors.*{message}"):
            checkpoints.load(path)
