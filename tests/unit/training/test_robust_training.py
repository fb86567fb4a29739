"""Adversarial training: the inner maximisation, the objectives, the loop."""

import math
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import uae
from uae import models, storage
from uae.errors import Diverged
from uae.evaluation import robustness
from uae.training import classifier, loop, robust
from uae.training.robust import Adversary

SGD = {"optimizer": "sgd", "lr": 0.05, "momentum": 0.9, "batch_size": 50}


def features(count: int = 200) -> tuple[torch.Tensor, torch.Tensor]:
    """8 x 8 images of noise whose class shows in one row by 0.1 and in all others by 0.03.

    Within eps = 0.06 the one row can be relied on, and the others cannot (Tsipras et al. 2019).
    """
    y = torch.arange(count) % 2
    sign = (2.0 * y - 1).view(-1, 1, 1, 1)
    x = 0.5 + 0.05 * torch.randn(count, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    x[:, :, :1] += 0.1 * sign[:, :, :1]
    x[:, :, 1:] += 0.03 * sign
    return x, y


X, Y = features()


class Linear(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(64, 3)

    def forward(self, x):
        return self.layer(x.flatten(1))


def net(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Dropout(0.2), nn.Linear(288, 2)
    )


def test_a_label_without_a_logit_is_named():
    labels = Y.clone()
    labels[7] = 2
    with pytest.raises(ValueError, match=r"sample 7: the label 2 is outside 0\.\.1"):
        adversary = Adversary(eps=0.1, steps=1, step_size=0.1)
        robust.fit(net(), X, labels, objective="madry", adversary=adversary, seed=0, epochs=1, **SGD)


def test_random_numbers_of_an_epoch_are_its_own_if_the_last_batch_is_dropped(monkeypatch):
    drawn, bits = [], robust.seeding.bits
    monkeypatch.setattr(robust.seeding, "bits", lambda *given: drawn.append(given[2]) or bits(*given))
    adversary = Adversary(eps=0.1, steps=1, step_size=0.1)
    options = SGD | {"batch_size": 4, "drop_last": True, "epochs": 3, "augmentation": "crop-flip"}
    robust.fit(net(), X[:10], Y[:10], objective="madry", adversary=adversary, seed=0, **options)
    found = [purpose for purpose in drawn if purpose.startswith("augmentation/")]
    assert found == [f"augmentation/{epoch}" for epoch in (0, 0, 1, 1, 2, 2)]


def test_the_ascent_reaches_the_corner_of_a_linear_model():
    """For a linear score the worst point of the ball is eps times the gradient's sign, then clipped."""
    torch.manual_seed(0)
    weight = torch.randn(1, 4, 4)
    x = torch.rand(6, 1, 4, 4)
    found = Adversary(eps=0.3, steps=8, step_size=0.1).ascend(lambda a: (a * weight).sum(), x, x)
    assert torch.equal(found, (x + 0.3 * weight.sign()).clamp(0, 1).clamp(x - 0.3, x + 0.3))


def test_the_ascent_stays_in_both_balls_and_agrees_with_the_attack():
    """The last iterate of the training's attack is PGD's where PGD's best iterate is its last."""
    torch.manual_seed(0)
    model = net().eval()
    adversary = Adversary(eps=0.1, steps=7, step_size=0.03)
    found = adversary.ascend(lambda a: F.cross_entropy(model(a), Y, reduction="sum"), X, X)
    assert ((found - X).abs() <= 0.1 + 1e-6).all() and (found >= 0).all() and (found <= 1).all()
    attack = uae.PGD(eps=0.1, steps=7, step_size=0.03, random_start=False)
    right = model(X).argmax(1) == Y
    result = attack(uae.losses.CrossEntropy(model, Y), X, seed=0)
    last = right & (result.step == 7)
    assert last.sum() > 20
    torch.testing.assert_close(found[last], result.adv[last])


def test_trades_is_its_formula():
    """Against the loss of the TRADES paper written out with logarithms, at a fixed adversarial example."""
    torch.manual_seed(0)
    model = Linear()
    x, y = torch.rand(5, 1, 8, 8), torch.tensor([0, 1, 2, 1, 0])
    noise = torch.randn(5, 1, 8, 8)
    still = Adversary(eps=0.3, steps=1, step_size=0.0, beta=6.0)
    value = robust.trades(model, x, y, still, noise)
    p, q = model(x).softmax(1), model((x + 0.001 * noise).clamp(0, 1)).softmax(1)
    clean = -p[torch.arange(5), y].log().mean()
    divergence = (p * (p / q).log()).sum(1).mean()
    assert value.item() == pytest.approx((clean + 6 * divergence).item(), rel=1e-5)


def test_madry_is_the_loss_of_the_worst_point():
    torch.manual_seed(0)
    model = Linear()
    x, y = torch.rand(1, 1, 8, 8), torch.tensor([2])
    adversary = Adversary(eps=0.02, steps=10, step_size=0.01)
    value = robust.madry(model, x, y, adversary, 2 * torch.rand(1, 1, 8, 8) - 1)
    corners = (x + 0.02 * (torch.randint(0, 2, (2000, 64)) * 2.0 - 1).view(-1, 1, 8, 8)).clamp(0, 1)
    with torch.no_grad():
        others = F.cross_entropy(model(corners), y.expand(2000), reduction="none")
    assert value.item() >= others.max().item()
    assert model.training


@pytest.mark.parametrize("objective", ["madry", "trades"])
def test_robust_training_is_robust_where_standard_training_is_not(objective):
    def asr(fit, **settings):
        torch.manual_seed(0)
        model = Linear()
        fit(model, X, Y, lr=0.1, momentum=0.9, batch_size=50, epochs=30, seed=0, **settings)
        assert robustness.accuracy(model, X, Y) > 0.95 and not model.training
        rows = robustness.attacked(model, X, Y, 100, seed=0)
        attack = uae.PGD(eps=0.06, steps=20)
        return attack(uae.losses.CrossEntropy(model, Y[rows]), X[rows]).success_rate

    adversary = Adversary(eps=0.06, steps=5, step_size=0.03)
    assert asr(classifier.fit) > 0.8
    assert asr(robust.fit, objective=objective, adversary=adversary, optimizer="sgd") < 0.4


def test_the_ball_grows_over_the_first_steps():
    adversary = Adversary(eps=0.3, steps=4, step_size=0.1)
    balls = [adversary.grown(robust.ball_share(done, 4)).eps for done in range(6)]
    assert balls == pytest.approx([0.075, 0.15, 0.225, 0.3, 0.3, 0.3])
    assert adversary.grown(robust.ball_share(1, 4)).step_size == pytest.approx(0.05)
    assert adversary.grown(robust.ball_share(0, 0)) == adversary


def fit(model, epochs=4, objective="madry", **options):
    adversary = Adversary(0.05, 2, 0.03)
    options = {"objective": objective, "adversary": adversary, "epochs": epochs, "seed": 5} | SGD | options
    return robust.fit(model, X, Y, **options)


@pytest.mark.parametrize("objective", ["madry", "trades"])
def test_a_killed_training_ends_with_the_weights_of_an_unbroken_one(objective, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_SAVES", -1)

    class Killed(Exception):
        pass

    def kill(done, loss):
        if done == 3:
            raise Killed

    common = {"objective": objective, "milestones": [2], "weight_decay": 1e-3, "warmup": 3}
    unbroken, path = net(), tmp_path / "x.partial"
    history = fit(unbroken, **common)
    with pytest.raises(Killed):
        fit(net(), **common, resume=path, tag="t", progress=kill)
    resumed, epochs = net(), []
    found = fit(resumed, **common, resume=path, tag="t", progress=lambda done, loss: epochs.append(done))
    assert epochs == [3, 4]
    assert found == history
    for name, weight in unbroken.state_dict().items():
        assert torch.equal(weight, resumed.state_dict()[name]), name


@pytest.mark.parametrize(("capability", "native"), [((7, 5), False), ((8, 0), True)])
def test_only_native_bfloat16_is_used(capability, native, monkeypatch):
    """A GPU before Ampere emulates it: that is slower than float32, and as coarse."""
    asked = []
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    with monkeypatch.context() as patched:
        patched.setattr(robust, "autocast", lambda device: asked.append(device) or nullcontext())
        fit(net(), epochs=1)
    assert set(asked) == {X.device}
    monkeypatch.setattr(torch, "autocast", lambda device, dtype, enabled: enabled)
    assert robust.autocast(torch.device("cuda")) is native


def test_training_leaves_the_callers_random_numbers_alone():
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    model = net(7)  # seeds, too
    torch.manual_seed(7)
    fit(model, epochs=1)
    assert torch.equal(torch.rand(3), expected)


def test_the_learning_rate_falls_tenfold_at_each_milestone(monkeypatch):
    rates = []

    class Spy(torch.optim.SGD):
        def step(self, closure=None):
            rates.append(self.param_groups[0]["lr"])

    monkeypatch.setitem(robust.OPTIMIZERS, "sgd", lambda p, lr, momentum, decay: Spy(p, lr=lr))
    fit(net(), epochs=4, lr=1.0, batch_size=200, milestones=[1, 3])
    assert rates == pytest.approx([1, 0.1, 0.1, 0.01])


def test_crop_flip_moves_and_mirrors_whole_images():
    x = torch.rand(64, 3, 8, 8)
    random = torch.randint(-(2**62), 2**62, (64, 3), generator=torch.Generator().manual_seed(0))
    out = robust.crop_flip(x, random, padding=2)
    padded = np.pad(x.numpy(), ((0, 0), (0, 0), (2, 2), (2, 2)))
    seen = set()
    for i in range(64):
        cuts = {
            (r, c, flip): padded[i, :, r : r + 8, c : c + 8][:, :, :: -1 if flip else 1]
            for r in range(5) for c in range(5) for flip in (False, True)
        }  # fmt: skip
        matches = [place for place, cut in cuts.items() if np.array_equal(cut, out[i].numpy())]
        assert len(matches) == 1
        seen.add(matches[0])
    assert len(seen) > 30 and {flip for *_, flip in seen} == {False, True}


def test_divergence_names_the_step_and_keeps_the_last_good_state(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_SAVES", -1)
    model, path = net(), tmp_path / "x.partial"

    def poison(done, loss):
        if done == 2:
            with torch.no_grad():
                model[0].weight[0] = math.nan

    with pytest.raises(Diverged, match="not finite after epoch 1"):
        fit(model, epochs=5, resume=path, progress=poison)
    arrays, metadata = storage.read_tensors(path)
    assert len(metadata["history"]) == 1
    assert all(np.isfinite(array).all() for array in arrays.values())


def test_a_rate_that_explodes_is_found():
    with pytest.raises(Diverged, match=r"at epoch \d+, step \d+"):
        fit(Linear(), epochs=60, lr=1e37)


def test_labels_that_do_not_fit_are_refused():
    adversary = Adversary(0.1, 2, 0.05)
    with pytest.raises(ValueError, match="200 samples and 3 labels"):
        robust.fit(net(), X, Y[:3], objective="madry", adversary=adversary, epochs=1, seed=0, **SGD)


@pytest.mark.parametrize(
    ("network", "shape", "arguments", "count"),
    [
        # Wide ResNets: the sizes that their paper and TRADES' repository give, with CIFAR-10's head.
        ("wide-resnet", (3, 32, 32), {"depth": 34, "widen": 10}, 46_160_474),
        ("wide-resnet", (3, 32, 32), {"depth": 28, "widen": 10}, 36_479_194),
        # By hand: two 5 x 5 convolutions, 3,136 inputs to 1,024 units, ten logits.
        ("madry", (1, 28, 28), {}, 832 + 51_264 + 3_137 * 1_024 + 10_250),
    ],
)
def test_sizes(network, shape, arguments, count):
    with torch.device("meta"):
        model = models.NETWORKS[network](shape=shape, **arguments)
    assert sum(p.numel() for p in model.parameters()) == count


def test_a_wide_resnet_maps_images_to_logits():
    torch.manual_seed(0)
    model = models.build("wide-resnet", (3, 16, 16), depth=10, widen=1, classes=7)
    out = model(torch.rand(4, 3, 16, 16))
    assert out.shape == (4, 7) and out.isfinite().all()
    with pytest.raises(ValueError, match="depth 12"):
        models.build("wide-resnet", (3, 32, 32), depth=12)
