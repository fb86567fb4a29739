"""Bad input to the attack: an error that names the sample, and a model left as it was."""

import math

import pytest
import torch
from torch import nn

import uae
from tests.unit.attacks.conftest import ATTACK, images
from uae import losses, models


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (1.5, r"sample 2: a value of 1.5 is outside the bounds \[0.0, 1.0\]"),
        (-0.1, "sample 2: a value of -0.1 is outside"),
        (math.nan, "sample 2: a value of nan is not finite"),
        (math.inf, "sample 2: a value of inf is not finite"),
    ],
)
def test_a_bad_value_names_its_sample(model, value, message):
    x = images()
    x[2, 0, 3, 3] = value
    with pytest.raises(ValueError, match=message):
        ATTACK(losses.Reconstruction(model), x)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (images(0), r"shape \(0, 1, 8, 8\): need \(N, ...\) without an empty axis"),
        (torch.rand(2, 0), r"shape \(2, 0\)"),
        ((images() * 255).byte(), "torch.uint8: need floating point"),
        (torch.rand(3), r"shape \(3,\)"),
        (images().numpy(), "images are a ndarray: need a torch.Tensor"),
    ],
)
def test_a_batch_that_is_none(model, x, message):
    with pytest.raises(ValueError, match=message):
        ATTACK(losses.Reconstruction(model), x)


def test_in_inference_mode_there_are_no_gradients(model):
    """All of them would be zero, and PGD's failures pass for robustness."""
    for attack in (ATTACK, uae.PGD(0.1)):
        loss = losses.Reconstruction(model) if attack is ATTACK else losses.Margin(model, torch.tensor([0]))
        with torch.inference_mode(), pytest.raises(ValueError, match="inference_mode"):
            attack(loss, images(1))


@pytest.mark.parametrize(
    "net", [nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)), nn.Linear(4, 4), models.build("dense", (4,))]
)
def test_a_model_is_no_loss(net):
    x = torch.rand(3, 4)
    for attack in (uae.MinMaxAttack(steps=1, mi=None), uae.PenaltyAttack(steps=1, mi=None), uae.PGD(0.1)):
        with pytest.raises(ValueError, match=r"uae\.losses\.\w+\(model.* or Margin"):
            attack(net.eval(), x)


def test_a_module_that_takes_both_samples_is_a_loss():
    class Distance(nn.Module):
        def forward(self, x_adv, x):
            return (x_adv / 2 - x).norm(dim=1)

    assert len(uae.MinMaxAttack(steps=1, mi=None)(Distance().eval(), torch.rand(3, 4))) == 3


def test_a_class_is_no_attack():
    with pytest.raises(ValueError, match=r"attack is a class: give its settings, such as MinMaxAttack\("):
        uae.augment(nn.Linear(4, 4).eval(), torch.rand(3, 4), uae.MinMaxAttack)


@pytest.mark.parametrize("targeted", [False, True])
def test_the_cross_entropy_is_no_criterion(targeted):
    """Its sign says nothing about success: all attacks failed or, targeted, all succeeded on no image."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 3)).eval()
    x = images()
    labels = net(x).argmax(1)
    loss = losses.CrossEntropy(net, labels, targeted, (labels + 1) % 3 if targeted else None)
    for kind in (uae.MinMaxAttack, uae.PenaltyAttack):
        for mi in (None, uae.MINE(inner_steps=1)):
            with pytest.raises(ValueError, match=r"CrossEntropy .* no criterion: use uae\.losses\.Margin"):
                kind(steps=1, mi=mi, maximize_mi=mi is not None)(loss, x)
    assert len(uae.PGD(0.1, steps=1)(loss, x)) == 3


def test_a_layer_without_one_tensor_is_named():
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = nn.LSTM(4, 3, batch_first=True)

        def forward(self, x):
            return x + self.lstm(x)[0].mean()

    attack = uae.MinMaxAttack(steps=1, mi=uae.MINE(samples=uae.ConvolutionOutput("lstm")))
    with pytest.raises(ValueError, match="LSTM layer gives a tuple"):
        attack(losses.Reconstruction(Recurrent().eval()), torch.rand(2, 5, 4))


def test_one_sample_is_enough(model):
    result = ATTACK(losses.Reconstruction(model), images(1))
    assert result.adv.shape == (1, 1, 8, 8)
    assert result.success.shape == result.mi.shape == (1,)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda a, x: (a - x).norm(), r"\(3,\); got shape \(\)"),
        (lambda a, x: (a - x).flatten(1), r"\(3,\); got shape \(3, 64\)"),
        (lambda a, x: 1.0, "got <class 'float'>"),
        (lambda a, x: a.flatten(1).sum(1).long(), "torch.int64"),
    ],
)
def test_a_loss_of_the_wrong_shape(loss, message):
    with pytest.raises(ValueError, match=message):
        uae.MinMaxAttack(steps=2, mi=None)(loss, images())


def test_a_loss_that_is_nan_names_the_sample():
    def nan_everywhere(a, x):
        return a.flatten(1).sum(1) * torch.tensor([1.0, math.nan, 1.0])

    def nan_when_moved(a, x):
        value = (a - x).flatten(1).abs().sum(1)
        return torch.where((value > 0) & (torch.arange(3) == 2), math.nan, value + a.flatten(1).sum(1))

    calls = 0

    def nan_once(a, x):
        nonlocal calls
        calls += not torch.equal(a, x)  # three before the attack look at the loss
        return a.flatten(1).sum(1) + (torch.tensor([math.nan, 0, 0]) if calls == 4 else 0)

    with pytest.raises(ValueError, match="sample 0: the loss of an iterate is nan"):
        uae.MinMaxAttack(steps=9, mi=None)(nan_once, images())
    with pytest.raises(ValueError, match="sample 1: the loss of the clean sample is nan"):
        uae.MinMaxAttack(steps=2, mi=None)(nan_everywhere, images())
    with pytest.raises(ValueError, match="sample 12: the loss of an iterate is nan"):
        uae.MinMaxAttack(steps=2, mi=None)(nan_when_moved, images(), index=torch.tensor([10, 11, 12]))


def test_a_model_in_training_mode_is_named(model):
    model.encoder[1].train()
    with pytest.raises(ValueError, match=r"module 'encoder.1' is in training mode; call model.eval\(\)"):
        ATTACK(losses.Reconstruction(model), images())


def test_one_compressed_sample_is_refused(model):
    with pytest.raises(ValueError, match=r"count \(K\) >= 2"):
        uae.RandomSampling(count=1)
    single = models.build("convolutional", (1, 8, 8), widths=(1, 2)).eval()
    with pytest.raises(ValueError, match=r"got K = 1.*RandomSampling\(\) or another layer"):
        ATTACK(losses.Reconstruction(single), images())


def test_the_first_convolution_is_the_one_that_runs_first():
    class Backwards(nn.Module):
        def __init__(self):
            super().__init__()
            self.decoder = nn.Conv2d(4, 1, 3, padding=1)
            self.encoder = nn.Conv2d(1, 4, 3, padding=1)

        def forward(self, x):
            return self.decoder(self.encoder(x).relu())

    torch.manual_seed(0)
    loss = losses.Reconstruction(Backwards().eval())
    found, named = (
        uae.MinMaxAttack(steps=3, mi=uae.MINE(inner_steps=1, samples=samples))(loss, images())
        for samples in (None, uae.ConvolutionOutput("encoder"))
    )
    assert torch.equal(found.adv, named.adv) and torch.equal(found.loss, named.loss)


def test_a_model_that_returns_a_tuple_is_named():
    class Variational(nn.Module):
        def forward(self, x):
            return x, x.flatten(1).mean(1)

    for loss in (losses.Reconstruction(Variational()), losses.Margin(Variational(), torch.zeros(3).long())):
        loss.model.eval()
        with pytest.raises(ValueError, match="the model gives a tuple: need"):
            uae.MinMaxAttack(steps=2, mi=None)(loss, images())


def test_the_released_critic_names_maps_that_are_too_small():
    """Its first stage is a 2x2 convolution over the feature maps."""
    model = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, (8, 3)),
        torch.nn.Flatten(),
        torch.nn.Linear(24, 64),
        torch.nn.Unflatten(1, (1, 8, 8)),
    ).eval()
    attack = uae.MinMaxAttack(steps=2, mi=uae.MINE(critic="released", samples=uae.ConvolutionOutput()))
    with pytest.raises(ValueError, match=r"larger maps than \(1, 6\)"):
        attack(uae.losses.Reconstruction(model), torch.rand(2, 1, 8, 8), seed=0)


def test_a_layer_that_is_not_there(model):
    attack = uae.MinMaxAttack(mi=uae.MINE(samples=uae.ConvolutionOutput("conv9")))
    with pytest.raises(ValueError, match=r"no layer 'conv9'; it has: encoder, encoder.0"):
        attack(losses.Reconstruction(model), images())


def test_without_a_convolution_random_sampling_is_taken():
    dense = models.build("dense", (1, 8, 8), latent=4).eval()
    attack = uae.MinMaxAttack(steps=1, mi=uae.MINE(inner_steps=1, samples=uae.ConvolutionOutput()))
    with pytest.raises(ValueError, match="no convolution: use RandomSampling"):
        attack(losses.Reconstruction(dense), images())
    result = uae.MinMaxAttack(steps=1, mi=uae.MINE(inner_steps=1))(losses.Reconstruction(dense), images())
    assert result.mi[result.success].isfinite().all()


def test_of_a_function_random_sampling_is_taken():
    """It is no nn.Module: nothing shows a convolution."""
    loss = losses.Reconstruction(lambda x: x / 2)
    results = [
        uae.MinMaxAttack(steps=2, mi=uae.MINE(inner_steps=1, samples=samples))(loss, images())
        for samples in (None, uae.RandomSampling())
    ]
    assert torch.equal(results[0].adv, results[1].adv) and results[0].success.any()
    with pytest.raises(ValueError, match=r"an nn\.Module; use RandomSampling"):
        uae.MinMaxAttack(mi=uae.MINE(samples=uae.ConvolutionOutput()))(loss, images())


@pytest.mark.parametrize("critic", ["vanilla", "released"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_images_in_half_precision(model, dtype, critic):
    """The critics compute in single precision: in half of it Adam's moments vanish."""
    mine = uae.MINE(critic=critic, inner_steps=3)
    pair = [torch.rand(2, 5, 12, generator=torch.Generator().manual_seed(i)).to(dtype) for i in (0, 1)]
    torch.testing.assert_close(mine(*pair), mine(*(x.float() for x in pair)).to(dtype))
    result = uae.MinMaxAttack(steps=3, mi=mine)(losses.Reconstruction(model.to(dtype)), images().to(dtype))
    assert result.adv.dtype == dtype and result.success.any()
    assert result.mi[result.success].isfinite().all()


class WithBatchNorm(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3), nn.Dropout(), nn.Conv2d(3, 1, 1)
        )

    def forward(self, x):
        return self.body(x).sigmoid()


@pytest.mark.parametrize("raises", [False, True])
def test_the_model_is_left_as_it_was_found(raises):
    model = WithBatchNorm().eval()
    model.body[0].weight.requires_grad_(False)
    state = {k: v.clone() for k, v in model.state_dict().items()}
    flags = {n: p.requires_grad for n, p in model.named_parameters()}
    loss = losses.Reconstruction(model)
    calls = 0

    def breaking(a, x):
        nonlocal calls
        calls += 1
        if raises and calls == 3:
            raise RuntimeError("stop")
        return loss(a, x)

    breaking.model = model
    x = images()
    if raises:
        with pytest.raises(RuntimeError, match="stop"):
            ATTACK(breaking, x)
    else:
        ATTACK(breaking, x)
    assert not any(m.training or m._forward_hooks for m in model.modules())
    assert flags == {n: p.requires_grad for n, p in model.named_parameters()}
    assert all(p.grad is None for p in model.parameters())
    assert all(torch.equal(v, model.state_dict()[k]) for k, v in state.items())
    assert not x.requires_grad
