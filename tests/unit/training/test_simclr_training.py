"""SimCLR's training: LARS against lightly, the schedule, resuming, linear and kNN evaluation."""

import math
import os

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.neighbors import KNeighborsClassifier
from torch import nn

os.environ.setdefault("LIGHTLY_DID_VERSION_CHECK", "True")

from lightly.utils.benchmarking import knn_predict
from lightly.utils.lars import LARS as LightlyLARS

from uae import models
from uae.contrastive import nt_xent
from uae.errors import Diverged
from uae.evaluation import knn
from uae.evaluation import simclr as measures
from uae.training import linear, loop, simclr
from uae.training.lars import LARS, groups, warmup_cosine

IMAGES = torch.rand(20, 3, 16, 16, generator=torch.Generator().manual_seed(0))
RECIPE = {"lr": 1.0, "warmup": 1, "batch_size": 8}


def network():
    torch.manual_seed(0)
    return models.build("simclr", (3, 16, 16), width=8, dim=8)


def test_resnet18_has_the_size_and_shapes_of_the_cifar_variant():
    model = models.build("resnet18", (3, 32, 32), classes=10)
    # The count that is usually given for ResNet-18 with this stem and ten classes.
    assert sum(p.numel() for p in model.parameters()) == 11_173_962
    model = models.build("simclr", (3, 32, 32)).eval()
    assert model.encoder.conv1(torch.rand(2, 3, 32, 32)).shape == (2, 64, 32, 32)
    assert model.encoder(torch.rand(2, 3, 32, 32)).shape == (2, 512)
    assert model(torch.rand(2, 3, 32, 32)).shape == (2, 128)
    with pytest.raises(ValueError, match=r"\(C, H, W\) of at least 8 x 8"):
        models.build("resnet18", (3, 4, 4))
    with pytest.raises(ValueError, match="multiple of 8, got 4"):
        models.build("resnet18", (3, 32, 32), width=4)


def test_lars_agrees_with_lightly():
    torch.manual_seed(0)
    ours = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 5)).double()
    nn.init.zeros_(ours[3].weight[0])
    theirs = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 5)).double()
    theirs.load_state_dict(ours.state_dict())
    mine = LARS(groups(ours), lr=2.0, momentum=0.9, weight_decay=1e-2)
    weights = [p for p in theirs.parameters() if p.ndim > 1]
    rest = [{"params": [p for p in theirs.parameters() if p.ndim == 1], "weight_decay": 0.0}]
    reference = LightlyLARS([{"params": weights}, *rest], lr=2.0, momentum=0.9, weight_decay=1e-2, eps=0.0)
    x = torch.rand(12, 3, 4, 4, dtype=torch.float64)
    for step in range(8):
        for model, optimizer in ((ours, mine), (theirs, reference)):
            for group in optimizer.param_groups:
                group["lr"] = 2.0 * warmup_cosine(step, 8, 2)
            optimizer.zero_grad()
            model(x).square().mean().backward()
            optimizer.step()
    for (name, a), b in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, msg=name)


def test_lars_takes_a_plain_step_where_a_weight_or_its_gradient_is_zero():
    zero, still = nn.Parameter(torch.zeros(2, 2)), nn.Parameter(torch.ones(2, 2))
    zero.grad, still.grad = torch.full((2, 2), 3.0), torch.zeros(2, 2)
    LARS([zero, still], lr=0.1, weight_decay=0.5).step()
    torch.testing.assert_close(zero.data, torch.full((2, 2), -0.3))
    assert torch.equal(still.data, torch.ones(2, 2))


def test_schedule_agrees_with_pytorchs():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=90)
    for step in range(10):
        assert warmup_cosine(step, 100, 10) == step / 10
    for step in range(10, 100):
        assert warmup_cosine(step, 100, 10) == pytest.approx(optimizer.param_groups[0]["lr"])
        optimizer.step()
        cosine.step()


def test_the_loss_falls():
    row, column = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
    angle, pitch = torch.rand(2, 128, 1, 1, 1, generator=torch.Generator().manual_seed(1))
    waves = torch.sin((0.3 + 2 * pitch) * (row * (3 * angle).cos() + column * (3 * angle).sin()))
    x = (0.5 + 0.5 * waves).expand(128, 3, 16, 16).contiguous()
    model = network()
    before = measures.loss(model.eval(), x, batch_size=32)
    # LARS moves a weight by a thousandth of its norm: so small a batch needs a large rate.
    history = simclr.fit(model, x, lr=30.0, warmup=2, batch_size=32, epochs=15, seed=0)
    assert len(history) == 15 and history[-1] < history[0] - 0.3
    assert measures.loss(model, x, batch_size=32) < before - 0.3
    assert not model.training


def test_a_killed_training_ends_with_the_weights_of_an_unbroken_one(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_SAVES", -1)

    class Killed(Exception):
        pass

    def kill(done, loss):
        if done == 3:
            raise Killed

    path, options = tmp_path / "x.partial", {**RECIPE, "epochs": 5, "seed": 5}
    unbroken, resumed = network(), network()
    history = simclr.fit(unbroken, IMAGES, **options)
    with pytest.raises(Killed):
        simclr.fit(resumed, IMAGES, **options, resume=path, tag="t", progress=kill)
    resumed, epochs = network(), []
    found = simclr.fit(
        resumed, IMAGES, **options, resume=path, tag="t", progress=lambda done, loss: epochs.append(done)
    )
    assert epochs == [3, 4, 5]
    assert found == history
    for name, weight in unbroken.state_dict().items():
        assert torch.equal(weight, resumed.state_dict()[name]), name


def test_an_interrupted_state_file_is_named_and_training_starts_again(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_SAVES", -1)
    path = tmp_path / "x.partial"
    options = {**RECIPE, "seed": 0, "resume": path, "tag": "t"}
    simclr.fit(network(), IMAGES, **options, epochs=2)
    path.write_bytes(path.read_bytes()[:-100])
    epochs = []
    simclr.fit(network(), IMAGES, **options, epochs=2, progress=lambda done, loss: epochs.append(done))
    assert epochs == [1, 2]
    assert "x.partial" in caplog.text and "starts again" in caplog.text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 21}, "20 images are fewer than a batch of 21"),
        ({"batch_size": 1}, "needs at least 2 images"),
        ({"warmup": 2}, "warmup of 2 epochs must be .* shorter than the 2 trained"),
    ],
)
def test_settings_that_can_not_be_trained(changes, message):
    with pytest.raises(ValueError, match=message):
        simclr.fit(network(), IMAGES, **{**RECIPE, "epochs": 2, "seed": 0, **changes})


def test_constant_views_end_the_training_with_their_reason():
    model = network()
    nn.init.zeros_(model.head[-1].weight)
    nn.init.zeros_(model.head[-1].bias)
    with pytest.raises(Diverged, match=r"nan at epoch 0, step 0; .* a constant view"):
        simclr.fit(model, IMAGES, **RECIPE, epochs=2, seed=0)


def test_test_loss_is_refused_for_fewer_images_than_a_batch():
    with pytest.raises(ValueError, match="20 images are fewer than a batch of 512"):
        measures.loss(network().eval(), IMAGES)


def test_features_leave_the_mode_and_do_not_depend_on_the_batch(monkeypatch):
    encoder = network().encoder.train()
    whole = linear.features(encoder, IMAGES)
    assert encoder.training and whole.shape == (20, 64)
    monkeypatch.setattr(linear, "BATCH", 7)
    torch.testing.assert_close(linear.features(encoder, IMAGES), whole, atol=1e-6, rtol=1e-4)


def clusters(count, seed):
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(count) % 4
    centres = torch.randn(4, 6, generator=torch.Generator().manual_seed(9))
    return centres[y] + 1.5 * torch.randn(count, 6, generator=generator), y


def test_linear_evaluation_reaches_scikit_learns_minimum():
    x, y = clusters(400, 0)
    head = nn.Linear(6, 4)
    linear.fit(head, x, y, batch_size=50, epochs=100, seed=0)
    reference = LogisticRegression(C=np.inf, max_iter=1000, tol=1e-8).fit(x.numpy(), y.numpy())
    accuracy, cross_entropy = measures.linear(head, x, y)
    least = log_loss(y.numpy(), reference.predict_proba(x.numpy()))
    assert least <= cross_entropy < 1.01 * least
    assert accuracy == pytest.approx(reference.score(x.numpy(), y.numpy()), abs=0.01)
    with pytest.raises(ValueError, match=r"sample 399: the label 7 is outside 0\.\.3"):
        linear.fit(head, x, torch.cat([y[:-1], torch.tensor([7])]), batch_size=50, epochs=1, seed=0)


def test_knn_agrees_with_lightly_and_scikit_learn():
    x, (bank, labels) = clusters(200, 2)[0], clusters(300, 3)
    unit, unit_bank = nn.functional.normalize(x, dim=1), nn.functional.normalize(bank, dim=1)
    for k, temperature in ((50, 0.5), (200, 0.07), (1, 0.5)):
        found = knn.predict(x, bank, labels, k=k, temperature=temperature, classes=4)
        expected = knn_predict(unit, unit_bank.T, labels, 4, knn_k=k, knn_t=temperature)[:, 0]
        assert torch.equal(found, expected)

    def weights(distance):  # of unit vectors
        return np.exp((1 - distance**2 / 2) / 0.5)

    reference = KNeighborsClassifier(50, weights=weights).fit(unit_bank.numpy(), labels.numpy())
    found = knn.predict(x, bank, labels, k=50, classes=4)
    assert (found.numpy() == reference.predict(unit.numpy())).mean() == 1
    with pytest.raises(ValueError, match="k = 301 neighbours of 300 samples"):
        knn.predict(x, bank, labels, k=301, classes=4)


def test_the_papers_loss_is_below_what_nt_xent_can_be():
    """Table 7 reports 0.29010. Positives all equal and negatives as far as a simplex allows give the least
    NT-Xent there is; at temperature 0.5 and 512 images it is above 4: the paper's is another loss."""
    views = 2 * 512
    least = math.log(math.exp(2) + (views - 2) * math.exp(-2 / 511)) - 2
    assert least > 4.9
    simplex = torch.eye(512, dtype=torch.float64) - 1 / 512
    assert nt_xent(simplex.expand(2, 512, 512)).item() == pytest.approx(least, rel=1e-9)
