"""Models of strangers: what an attack cannot be right on is refused in words; all else works."""

from __future__ import annotations

import logging
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import uae
from uae import losses, memory, sampling
from uae.attacks import constrained

SAMPLING = uae.MINE(inner_steps=1, samples=uae.RandomSampling(count=8, dim=8))


def images(count=6):
    return torch.rand(count, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def convolutional(*first: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    layers = nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 1, 3, padding=1), nn.Sigmoid()
    return nn.Sequential(*first, *layers).eval()


class Before(nn.Module):
    """A network that does something to its input first."""

    def __init__(self, prepare):
        super().__init__()
        self.prepare, self.net = prepare, convolutional()

    def forward(self, x):
        return self.net(self.prepare(x))


class Counts(nn.Module):
    def __init__(self, effect: float):
        super().__init__()
        self.effect, self.net = effect, convolutional()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls += 1
        return self.net(x) * (1 - self.effect * self.calls)


def running(x):
    mean, var = torch.zeros(1), torch.ones(1)
    return F.batch_norm(x, mean, var, training=True)


def write_by_numpy(x):
    x.numpy()[...] = 0
    return x


def halve_data(x):
    x.data.mul_(0.5)
    return x


RANDOM = "sample 0: the loss differs between two calls on the same samples .* draws random numbers or keeps"
BATCH = "sample [04]: the loss depends on the other samples of its batch"
IN_PLACE = "the model, the loss or the features change their input in place"


NO_FUNCTIONS = {
    "noise": (lambda x: x + 0.01 * torch.randn_like(x), RANDOM),
    "faint noise": (lambda x: x + 1e-3 * torch.randn_like(x), RANDOM),
    "dropout": (lambda x: F.dropout(x, 0.1), RANDOM),
    "mask": (lambda x: x * (torch.rand(len(x), 1, 1, 1) > 0.5), "the loss differs between two calls"),
    "batch norm": (nn.BatchNorm2d(1, track_running_stats=False), BATCH),
    "functional batch norm": (running, BATCH),
    "largest": (lambda x: x / x.max(), BATCH),
    "mean": (lambda x: x - 0.01 * x.mean(), BATCH),
    "count": (lambda x: x / len(x), BATCH),
    "rank": (lambda x: x * torch.linspace(0.5, 1, len(x)).view(-1, 1, 1, 1).flip(0), BATCH),
    "data": (halve_data, IN_PLACE),
    "numpy": (write_by_numpy, IN_PLACE),
    "in-place layer": (nn.ReLU(inplace=True), IN_PLACE),
    "in-place method": (lambda x: x.mul_(0.5), IN_PLACE),
}


@pytest.mark.parametrize(("prepare", "message"), NO_FUNCTIONS.values(), ids=NO_FUNCTIONS)
@pytest.mark.parametrize("mi", [None, SAMPLING], ids=["L2", "MINE"])
def test_a_model_that_is_no_function_of_each_sample_is_refused(prepare, message, mi):
    loss, x = losses.Reconstruction(Before(prepare).eval()), images()
    given = x.clone()
    with pytest.raises(ValueError, match=message):
        uae.MinMaxAttack(steps=2, mi=mi)(loss, x)
    assert torch.equal(x, given)


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda x: x + 0.1 * torch.randn_like(x), RANDOM),
        (lambda x: x / x.mean(), BATCH),
        (halve_data, IN_PLACE),
    ],
    ids=["noise", "mean", "data"],
)
def test_a_classifier_is_looked_at_too(prepare, message):
    torch.manual_seed(0)
    model = nn.Sequential(Before(prepare), nn.Flatten(), nn.Linear(64, 3)).eval()
    x = images()
    given, loss = x.clone(), losses.Margin(model, torch.tensor([0, 1, 2, 0, 1, 2]))
    for attack in (uae.PGD(0.1, steps=2), uae.MinMaxAttack(steps=2, mi=SAMPLING, maximize_mi=True)):
        with pytest.raises(ValueError, match=message):
            attack(loss, x)
        assert torch.equal(x, given)


def test_a_model_that_keeps_state_is_refused_and_its_state_given_back():
    model = Counts(0.01).eval()
    with pytest.raises(ValueError, match=RANDOM):
        uae.MinMaxAttack(steps=2, mi=None)(losses.Reconstruction(model), images())
    assert model.calls == 0
    harmless = Counts(0.0).eval()
    result = uae.MinMaxAttack(steps=2, mi=None)(
        lambda a, x: (harmless(a) - x).flatten(1).norm(dim=1), images()
    )
    assert len(result) == 6 and harmless.calls == 0


def test_a_model_that_changes_its_input_later_only_is_noticed_at_the_end_of_a_chunk():
    net, calls, x = convolutional(), 0, images()

    def loss(a, x):
        nonlocal calls
        calls += 1
        if calls == 8:
            x.data[0] = 0
        return (net(a) - x).flatten(1).norm(dim=1)

    given = x.clone()
    with pytest.raises(ValueError, match=IN_PLACE):
        uae.MinMaxAttack(steps=9, mi=None)(loss, x)
    assert torch.equal(x, given)


def transformer():
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    return nn.Sequential(nn.Flatten(1, 2), nn.TransformerEncoder(layer, 2), nn.Unflatten(1, (1, 8)))


LEGITIMATE = {
    "convolution": convolutional,
    "transformer": transformer,  # its fast path has other kernels than the one with gradients
    "batch norm": lambda: nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Conv2d(4, 1, 1)),
    "instance norm": lambda: nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.InstanceNorm2d(4), nn.Conv2d(4, 1, 1)
    ),
    "each by its own largest": lambda: Before(lambda x: x / x.amax((1, 2, 3), keepdim=True)),
    "its own seed": lambda: Before(
        lambda x: x + 0.1 * torch.randn(8, 8, generator=torch.Generator().manual_seed(1))
    ),
    "inside, in place": lambda: Before(lambda x: x.clone().mul_(0.5)),
    "almost perfect": lambda: Before(lambda x: x),
}


@pytest.mark.parametrize("build", LEGITIMATE.values(), ids=LEGITIMATE)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_function_of_each_sample_is_not_refused(build, dtype):
    torch.manual_seed(0)
    model, x = build().eval().to(dtype), images(33).to(dtype)
    result = uae.MinMaxAttack(steps=2, mi=SAMPLING)(losses.Reconstruction(model), x)
    assert len(result) == 33 and result.adv.dtype == dtype


def test_a_loss_that_is_a_small_difference_of_large_numbers_is_not_refused():
    torch.manual_seed(0)
    weights = torch.eye(64) + 1e-6 * torch.randn(64, 64)
    loss = losses.Reconstruction(lambda x: (x.flatten(1) @ weights).view_as(x))
    assert len(uae.MinMaxAttack(steps=2, mi=SAMPLING)(loss, images(64))) == 64


def test_contrastive_and_labels_are_not_refused():
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 8)).eval()
    x = torch.rand(7, 3, 8, 8)
    attack = uae.MinMaxAttack(steps=1, mi=uae.MINE(inner_steps=1))
    assert len(attack(losses.Contrastive(encoder, copies=3), x)) == 7
    labels = torch.arange(7) % 8
    result = uae.MinMaxAttack(steps=1, mi=SAMPLING, maximize_mi=True)(losses.Margin(encoder, labels), x)
    assert len(result) == 7


def test_samples_one_at_a_time_may_be_normalised_by_their_batch():
    attack = uae.MinMaxAttack(steps=2, mi=SAMPLING, batch_size=1)
    result = attack(losses.Reconstruction(Before(lambda x: x / x.max()).eval()), images())
    own = attack(
        losses.Reconstruction(Before(lambda x: x / x.amax((1, 2, 3), keepdim=True)).eval()), images()
    )
    torch.testing.assert_close(result.adv, own.adv)


def test_values_that_hold_something_for_each_sample_may_fill_one_chunk():
    """As a function they cannot say which rows they are asked for."""
    weights = torch.rand(6)
    result = uae.MinMaxAttack(steps=2, mi=None)(lambda a, x: weights * a.flatten(1).norm(dim=1), images())
    assert len(result) == 6


def test_with_mine_values_that_hold_something_for_each_sample_need_a_subset():
    """MINE's attack asks for the gradients of some rows only: it failed after some steps, with some seeds."""
    weights, labels = torch.rand(6), torch.arange(6) % 3
    attack = uae.MinMaxAttack(steps=2, mi=SAMPLING)
    with pytest.raises(ValueError, match=r"a value per sample, give it a method `subset\(rows\)`"):
        attack(lambda a, x: weights * a.flatten(1).norm(dim=1), images())
    with pytest.raises(ValueError, match="batch_size") as error:
        attack(lambda a, x: -F.cross_entropy(a.flatten(1), labels, reduction="none"), images())
    assert "`subset(rows)`" in error.value.__notes__[0]
    assert len(attack(lambda a, x: a.flatten(1).norm(dim=1), images())) == 6


@pytest.mark.parametrize("of_images", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("of_loss", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("mi", [None, SAMPLING, uae.MINE(inner_steps=1)], ids=["L2", "projections", "layer"])
def test_the_loss_s_dtype_stays_out_of_delta(of_images, of_loss, mi):
    class Cast(losses.Reconstruction):
        def __call__(self, x_adv, x):
            return super().__call__(x_adv, x).to(of_loss)

    x, model = images(4).to(of_images), convolutional().to(of_images)
    result = uae.MinMaxAttack(steps=3, mi=mi)(Cast(model), x)
    assert result.adv.dtype == of_images
    assert ((result.adv >= 0) & (result.adv <= 1)).all()
    if of_images == of_loss == torch.float32:
        expected = uae.MinMaxAttack(steps=3, mi=mi)(losses.Reconstruction(model), x)
        assert torch.equal(result.adv, expected.adv)


class Decorated(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = convolutional()

    @torch.compile(backend="eager")
    def forward(self, x):
        return self.net(x)


def compiled_in_place():
    net = convolutional()
    net.compile(backend="eager")
    return net


COMPILED = {
    "compiled": lambda: torch.compile(convolutional(), backend="eager"),
    "in place": compiled_in_place,
    "within": lambda: nn.Sequential(torch.compile(convolutional(), backend="eager"), nn.Identity()).eval(),
    "decorated": lambda: Decorated().eval(),
}


@pytest.mark.parametrize("build", COMPILED.values(), ids=COMPILED)
def test_a_compiled_model_that_has_run_gives_the_numbers_of_its_original(build):
    model, x = build(), images(40)
    with torch.no_grad():
        model(x[:1])
        model(x)
    attack = uae.MinMaxAttack(steps=3, mi=uae.MINE(inner_steps=1))
    result = attack(losses.Reconstruction(model), x)
    assert torch.equal(result.adv, attack(losses.Reconstruction(convolutional()), x).adv)


def exported(dynamic=True):
    batch = ({0: torch.export.Dim.AUTO},) if dynamic else None
    return torch.export.export(convolutional(), (images(4),), dynamic_shapes=batch).module()


FIXED = {
    "exported": exported,
    "scripted": lambda: torch.jit.script(convolutional()),
    "traced": lambda: torch.jit.trace(convolutional(), images(2)),
    "frozen": lambda: torch.jit.freeze(torch.jit.script(convolutional())),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("build", FIXED.values(), ids=FIXED)
def test_of_a_model_without_layers_mine_sees_random_projections(build, caplog):
    loss, x = losses.Reconstruction(build()), images()
    with pytest.raises(ValueError, match=r"exported, scripted or traced.*use RandomSampling"):
        uae.MinMaxAttack(mi=uae.MINE(samples=uae.ConvolutionOutput()))(loss, x)
    result = uae.MinMaxAttack(steps=3, mi=SAMPLING)(loss, x)
    expected = uae.MinMaxAttack(steps=3, mi=SAMPLING)(losses.Reconstruction(convolutional()), x)
    torch.testing.assert_close(result.adv, expected.adv, atol=1e-5, rtol=0)
    with caplog.at_level(logging.WARNING):
        assert isinstance(sampling.default_for(loss.model), uae.RandomSampling)
    assert "shows no layers: MINE sees random projections" in caplog.text
    assert len(uae.MinMaxAttack(steps=2, mi=None)(loss, images(40))) == 40


@pytest.mark.filterwarnings("ignore")
def test_a_model_that_was_exported_for_one_batch_size_says_so():
    for x in (images(4), images(6)):
        with pytest.raises(ValueError, match=r"batches of any size: export it with dynamic_shapes"):
            uae.MinMaxAttack(steps=3, mi=SAMPLING)(losses.Reconstruction(exported(dynamic=False)), x)


@pytest.mark.filterwarnings("ignore")
def test_a_model_that_was_exported_in_training_mode_is_noticed():
    net = nn.Sequential(convolutional(), nn.Dropout(0.5)).train()
    model = torch.export.export(net, (images(4),), dynamic_shapes=({0: torch.export.Dim.AUTO},)).module()
    with pytest.raises(ValueError, match="draws random numbers"):
        uae.MinMaxAttack(steps=3, mi=SAMPLING)(losses.Reconstruction(model), images())


@pytest.mark.filterwarnings("ignore")
def test_a_scripted_part_of_a_model_is_named():
    model = nn.Sequential(torch.jit.script(convolutional()), nn.Identity()).eval()
    with pytest.raises(ValueError, match="layer '0' was exported, scripted or traced"):
        uae.MinMaxAttack(mi=uae.MINE(samples=uae.ConvolutionOutput("0")))(
            losses.Reconstruction(model), images()
        )


def test_projections_that_do_not_fit_are_refused_before_any_is_drawn(monkeypatch):
    monkeypatch.setattr(memory, "available", lambda device: 10e9)
    monkeypatch.setattr(torch, "randn", pytest.fail)
    x = torch.rand(2, 3, 224, 224)
    with pytest.raises(
        ValueError, match=r"38\.5 GB.*10\.0 GB.*RandomSampling\(count=(\d+), dim=128\)"
    ) as error:
        uae.MinMaxAttack(steps=1)(lambda a, x: (a / 2 - x).flatten(1).norm(dim=1), x)
    count = int(str(error.value).split("RandomSampling(count=")[1].split(",")[0])
    uae.RandomSampling(count=count).bind(None, x, 0)
    monkeypatch.setattr(memory, "available", lambda device: 1e6)
    with pytest.raises(ValueError, match=r"RandomSampling\(count=2, dim=1\)"):
        uae.RandomSampling().bind(None, x, 0)


@pytest.mark.parametrize(
    ("value", "dtype", "shown"),
    [
        (math.nextafter(1, 2), torch.float64, "1.0000000000000002"),
        (1.0000001, torch.float32, "1.0000001"),
        (-1e-9, torch.float32, "-1e-09"),
        (1.0078125, torch.bfloat16, "1.0078125"),
    ],
)
def test_a_value_out_of_bounds_is_shown_as_it_is(value, dtype, shown):
    x = images().to(dtype)
    x[1, 0, 0, 0] = value
    with pytest.raises(ValueError, match=rf"sample 1: a value of {shown} is outside the bounds.*clamp it"):
        uae.MinMaxAttack(steps=1)(losses.Reconstruction(convolutional()), x)


def test_what_is_left_of_another_model_is_not_gone_on_from(tmp_path, monkeypatch, caplog):
    """The tag may not know all that the model computes with."""
    monkeypatch.setattr(constrained, "SECONDS_BETWEEN_SAVES", -1.0)
    monkeypatch.setattr(constrained, "SAVING_SHARE", math.inf)
    scale, path, x = 1.0, tmp_path / "x.partial", images()
    net = convolutional()
    attack = uae.MinMaxAttack(steps=2, mi=SAMPLING, batch_size=2)

    def loss(a, x):
        return (scale * net(a) - x).flatten(1).norm(dim=1)

    def stop(done, total):
        if done > 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        attack(loss, x, resume=path, tag="a", progress=stop)
    scale = 1.01
    with caplog.at_level(logging.WARNING):
        found = attack(loss, x, resume=path, tag="a")
    assert "x.partial" in caplog.text and "restarts" in caplog.text
    assert torch.equal(found.adv, attack(loss, x).adv)
