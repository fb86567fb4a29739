"""PGD against foolbox, and what it promises: both balls, kept successes, restarts, seeds."""

import logging

import foolbox
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import uae
from uae import losses, models

SEED = 3


@pytest.fixture(scope="module")
def setting():
    """A small classifier that has learned something, and images with their labels."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(120, 1, 8, 8, generator=generator)
    y = ((x - 0.5).flatten(1) @ torch.randn(64, 4, generator=generator)).argmax(1)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 4))
    stepper = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(100):
        stepper.zero_grad()
        F.cross_entropy(model(x), y).backward()
        stepper.step()
    assert (model(x).argmax(1) == y).float().mean() > 0.9
    return model.eval(), x, y


def by_foolbox(model, x, y, eps, steps, step_size):
    """The last iterate of foolbox's attack, started at the sample, and its loss."""
    theirs = foolbox.attacks.LinfPGD(abs_stepsize=step_size, steps=steps, random_start=False)
    wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device=torch.device("cpu"))
    _, adv, success = theirs(wrapped, x, y, epsilons=eps)
    return adv, success, F.cross_entropy(model(adv), y, reduction="none").detach()


@pytest.mark.parametrize("eps", [0.01, 0.05, 0.1, 0.3])
def test_one_step_is_foolboxs(setting, eps):
    model, x, y = setting
    adv, success, loss = by_foolbox(model, x, y, eps, 1, 0.8 * eps)
    ours = uae.PGD(eps, steps=1, step_size=0.8 * eps, random_start=False)(losses.CrossEntropy(model, y), x)
    ok = ours.eligible
    torch.testing.assert_close(ours.adv[ok], adv[ok], atol=1e-6, rtol=0)
    torch.testing.assert_close(ours.loss[ok], loss[ok], atol=1e-5, rtol=1e-5)
    assert torch.equal(ours.success[ok], success[ok])


@pytest.mark.parametrize("eps", [0.03, 0.05, 0.1, 0.2])
def test_success_rate_and_loss_are_foolboxs(setting, eps):
    """Ours keeps the best iterate, foolbox the last: never below, and for a convergent attack equal."""
    model, x, y = setting
    _, success, loss = by_foolbox(model, x, y, eps, 40, 2.5 * eps / 40)
    ours = uae.PGD(eps, steps=40, random_start=False)(losses.CrossEntropy(model, y), x)
    ok = ours.eligible
    assert success[ok].float().mean() > 0
    assert ours.success_rate == pytest.approx(success[ok].float().mean().item(), abs=0.01)
    assert (ours.loss[ok] >= loss[ok] - 1e-5).all()
    torch.testing.assert_close(ours.loss[ok].mean(), loss[ok].mean(), rtol=1e-3, atol=0)


def test_foolbox_grants_the_success_of_the_kept_examples(setting):
    """Success is the model's misprediction at `adv`, as an independent criterion sees it."""
    model, x, y = setting
    result = uae.PGD(0.1, steps=20)(losses.CrossEntropy(model, y), x, seed=SEED)
    wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device=torch.device("cpu"))
    robust = foolbox.utils.accuracy(wrapped, result.adv[result.eligible], y[result.eligible])
    assert result.success_rate == pytest.approx(1 - robust, abs=1e-6)
    assert result.mi.isnan().all()


@pytest.mark.parametrize("loss", [losses.CrossEntropy, losses.Margin])
@pytest.mark.parametrize("eps", [0.1, 0.5])
def test_inside_both_balls_and_a_success_is_kept(setting, loss, eps):
    model, x, y = setting
    few, many = (uae.PGD(eps, steps=s, step_size=eps / 3)(loss(model, y), x, seed=SEED) for s in (5, 60))
    for result in (few, many):
        assert (result.adv >= 0).all() and (result.adv <= 1).all()
        assert (result.adv - x).abs().max() <= eps + 1e-6
        torch.testing.assert_close(result.loss, loss(model, y)(result.adv, x).detach())
    assert few.success.any() and not (few.success & ~many.success).any()


def test_restarts_add_successes_and_take_none(setting):
    model, x, y = setting
    loss = losses.CrossEntropy(model, y)
    once, often = (uae.PGD(0.08, steps=3, restarts=r)(loss, x, seed=SEED) for r in (1, 6))
    assert not (once.success & ~often.success).any() and (often.success & ~once.success).any()
    assert (often.loss >= once.loss)[~often.success].all()
    assert torch.equal(often.adv[once.success], once.adv[once.success])


def test_a_random_start_is_one_of_the_ball_by_seed_and_restart(setting):
    """A step too small to be seen: the start is kept. It is uniform in the ball, but where [0, 1] cuts it."""
    model, x, y = setting
    attack = uae.PGD(0.05, steps=1, step_size=1e-9)
    one, again, other = (attack(losses.CrossEntropy(model, y), x, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one.adv, again.adv) and not torch.equal(one.adv, other.adv)
    rows = one.eligible & (one.adv != x).flatten(1).any(1)
    inside = ((x > 0.05) & (x < 0.95))[rows]
    delta = (one.adv - x)[rows][inside]
    assert len(delta) > 1000 and delta.abs().max() <= 0.05 + 1e-6
    assert delta.std().item() == pytest.approx(0.05 / 3**0.5, rel=0.05)
    assert delta.mean().item() == pytest.approx(0, abs=0.003)


class Swinging(nn.Module):
    """Logits by call: what a step finds does not depend on where it went. Steps follow x's slope 1."""

    def __init__(self, margins):
        super().__init__()
        self.margins, self.calls = margins, 0

    def forward(self, x):
        margin = self.margins[min(self.calls, len(self.margins) - 1)]
        self.calls += torch.is_grad_enabled()
        move = 1e-3 * (x - x.detach()).flatten(1).sum(1)
        return torch.stack([margin + move, torch.zeros(len(x))], 1)


@pytest.mark.parametrize(
    ("margins", "step", "success"),
    [
        ([2, 0.5, -0.5, 0.5, 0.4], 2, True),  # a success that a later step loses
        ([2, 0.5, -0.5, -2, -1.5], 3, True),  # of several successes the one with the largest loss
        ([2, 0.2, 0.5, 0.8, 0.9], 1, False),  # without one the iterate with the largest loss
    ],
)
def test_the_kept_iterate_is_the_best_and_not_the_last(margins, step, success):
    attack = uae.PGD(0.1, steps=4, step_size=0.01, random_start=False)
    loss = losses.CrossEntropy(Swinging(margins).eval(), torch.tensor([0]))
    result = attack(loss, torch.full((1, 1, 2, 2), 0.5))
    assert (result.step.item(), result.success.item()) == (step, success)
    expected = F.cross_entropy(torch.tensor([[margins[step], 0.0]]), torch.tensor([0])).item()
    assert result.loss.item() == pytest.approx(expected, abs=1e-4)


def test_a_sample_alone_and_in_a_batch(setting):
    model, x, y = setting
    attack = uae.PGD(0.05, steps=5, restarts=2)
    whole = attack(losses.CrossEntropy(model, y), x, seed=SEED)
    rows = torch.tensor([70, 3, 41])
    small = uae.PGD(0.05, steps=5, restarts=2, batch_size=2)
    part = small(losses.CrossEntropy(model, y[rows]), x[rows], seed=SEED, index=rows)
    torch.testing.assert_close(part.adv, whole.adv[rows])
    assert torch.equal(part.success, whole.success[rows])
    assert part.metadata["attack"]["restarts"] == 2


def test_targeted_reaches_the_target(setting):
    model, x, y = setting
    targets = (y + 1) % 4
    result = uae.PGD(0.5, steps=40)(losses.CrossEntropy(model, y, True, targets), x, seed=SEED)
    assert result.success_rate == 1
    ok = result.success
    assert torch.equal(model(result.adv).argmax(1)[ok], targets[ok])


def test_a_misclassified_image_is_never_counted(setting):
    model, x, y = setting
    wrong = y.clone()
    wrong[:30] = (model(x[:30]).argmax(1) + 1) % 4
    for attack in (uae.PGD(0.5), uae.MinMaxAttack(steps=3, mi=None)):
        loss = losses.CrossEntropy if isinstance(attack, uae.PGD) else losses.Margin
        result = attack(loss(model, wrong), x)
        assert not result.eligible[:30].any() and not result.success[:30].any()
        assert torch.equal(result.adv[:30], x[:30])
        counted = result.success[result.eligible].float().mean().item()
        assert result.success_rate == pytest.approx(counted)


def test_gradients_of_zero_are_reported(setting, caplog):
    """A model that rounds its input has no gradient: its failure must not pass for robustness."""

    class Rounding(nn.Module):
        def forward(self, x):
            seen = x.round() * torch.where(torch.arange(len(x)) % 2 == 0, 1, 0)[:, None, None, None]
            return setting[0](seen + (x - x.detach()) * (torch.arange(len(x)) % 2)[:, None, None, None])

    model, x = Rounding().eval(), setting[1][:6]
    y = model(x).argmax(1)
    with caplog.at_level(logging.WARNING):
        result = uae.PGD(0.1, steps=3, random_start=False)(losses.CrossEntropy(model, y), x)
    assert result.zero_gradient.tolist() == [True, False] * 3
    assert result.metadata["zero_gradients"] == 3
    assert "for 3 of 6 samples the gradient is zero at every step and the attack fails" in caplog.text
    assert torch.equal(result.adv[::2], x[::2])


def test_a_loss_without_any_gradient_is_named(caplog):
    """Detached losses move nothing. The starts alone decide, so a count of the failures would mislead."""
    x = torch.full((6, 1, 4, 4), 0.5)
    attack = uae.MinMaxAttack(steps=2, mi=None, init="noise")
    with caplog.at_level(logging.WARNING):
        result = attack(lambda x_adv, x: (x_adv - 0.5).square().flatten(1).mean(1).detach(), x)
    assert result.zero_gradient.all() and not result.success.any()
    assert "the gradient is zero for all 6 samples at every step: the loss may be detached" in caplog.text


def test_images_of_another_type_than_the_weights_are_named():
    """NumPy's default type is the usual cause."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3)).eval()
    x = torch.rand(2, 1, 4, 4, dtype=torch.float64)
    for attack, loss in (
        (uae.PGD(0.1, steps=1), losses.CrossEntropy(model, torch.tensor([0, 1]))),
        (uae.MinMaxAttack(steps=1, mi=None), losses.Margin(model, torch.tensor([0, 1]))),
    ):
        with pytest.raises(
            ValueError, match=r"images are torch\.float64 and the model's weights torch\.float32"
        ):
            attack(loss, x)
        attack(loss, x.float())


def test_a_gradient_of_zero_at_the_last_step_alone_is_none_to_report():
    class FlatAtTheEnd(nn.Module):
        calls = 0

        def forward(self, x):
            self.calls += torch.is_grad_enabled()
            slope = float(self.calls < 3)
            move = slope * (x - x.detach()).flatten(1).sum(1)
            return torch.stack([2 + move, torch.zeros(len(x))], 1)

    loss = losses.CrossEntropy(FlatAtTheEnd().eval(), torch.tensor([0]))
    result = uae.PGD(0.1, steps=3, random_start=False)(loss, torch.full((1, 1, 2, 2), 0.5))
    assert result.zero_gradient.tolist() == [False]


def test_successes_without_a_gradient_are_counted_and_no_cause_to_warn(caplog):
    """An unsupervised loss that is the same everywhere is met by every sample, whatever its gradient."""
    attack = uae.MinMaxAttack(steps=2, mi=uae.MINE(inner_steps=1, samples=uae.RandomSampling(4, 4)))
    with caplog.at_level(logging.WARNING):
        result = attack(lambda x_adv, x: x_adv.new_ones(len(x)), torch.rand(3, 1, 4, 4))
    assert result.success.all() and result.metadata["zero_gradients"] == 3
    assert not caplog.text


@pytest.mark.parametrize("constant", [lambda x: x.detach().mean(), lambda x: (0 * x).sum()])
@pytest.mark.parametrize("attack", [uae.PGD(0.1, steps=3), uae.MinMaxAttack(steps=3, mi=None)])
def test_a_model_without_any_gradient_is_reported(attack, constant):
    class Constant(nn.Module):
        def forward(self, x):
            return torch.tensor([0.0, 1.0, 0.5]).expand(len(x), 3) + 0 * constant(x)

    x, y = torch.rand(3, 1, 4, 4), torch.tensor([1, 1, 0])
    loss = losses.CrossEntropy if isinstance(attack, uae.PGD) else losses.Margin
    result = attack(loss(Constant().eval(), y), x)
    assert result.zero_gradient.tolist() == [True, True, False]  # the last is misclassified anyway
    assert not result.success.any()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"eps": 0}, "eps must be above 0"),
        ({"eps": 0.1, "steps": 0}, "steps must"),
        ({"eps": 0.1, "step_size": 0}, "step_size must"),
        ({"eps": 0.1, "batch_size": 0}, "batch_size must be at least 1 or None, got 0"),
        ({"eps": 0.1, "restarts": 2, "random_start": False}, "restarts = 2"),
        ({"eps": 0.1, "bounds": (1, 0)}, "bounds"),
    ],
)
def test_settings_out_of_range(settings, message):
    with pytest.raises(ValueError, match=message):
        uae.PGD(**settings)


@pytest.mark.parametrize("kind", [losses.Margin, losses.CrossEntropy])
@pytest.mark.parametrize("targeted", [False, True])
def test_labels_go_to_the_samples_once(kind, targeted):
    """A copy from the CPU at each evaluation waits for the GPU. The device `meta` stands for one."""
    labels = torch.tensor([0, 1, 2])
    loss = kind(lambda x: 2 * x, labels, targeted, labels.flip(0) + 3 if targeted else None, check=False)
    part, x = loss.subset(slice(1, 3)), torch.rand(2, 6, device="meta")
    for evaluate in (part.eligible, lambda x: part(x, x), part.evaluate):
        evaluate(x)
        held = [part.labels, part.targets] if targeted else [part.labels]
        assert all(tensor.device.type == "meta" for tensor in held)
    assert loss.labels.tolist() == [0, 1, 2]  # of the whole set they stay
    x = torch.rand(3, 6)
    torch.testing.assert_close(loss.subset(slice(1, 3))(x[1:], x[1:]), loss(x, x)[1:])


def test_a_loss_without_labels_is_refused(setting):
    with pytest.raises(ValueError, match="needs a classifier's loss"):
        uae.PGD(0.1)(losses.Reconstruction(setting[0]), setting[1])


@pytest.mark.parametrize("loss", [losses.Margin, losses.CrossEntropy])
def test_bad_labels_name_their_sample(setting, loss):
    model, x, y = setting
    attack = uae.PGD(0.1, steps=1, batch_size=50)
    for value in (4, -1):
        bad = y.clone()
        bad[77] = value
        with pytest.raises(ValueError, match=rf"sample 77: the label {value} is outside 0..3"):
            attack(loss(model, bad), x)
    with pytest.raises(ValueError, match="sample 5: the target 9 is outside"):
        attack(loss(model, y, True, torch.where(torch.arange(120) == 5, 9, (y + 1) % 4)), x)
    with pytest.raises(ValueError, match=rf"sample 2: the target {y[2]} is the label"):
        loss(model, y, True, torch.where(torch.arange(120) == 2, y, (y + 1) % 4))
    with pytest.raises(ValueError, match="needs targets"):
        loss(model, y, targeted=True)
    for other in (y.float(), y.bool()):
        with pytest.raises(ValueError, match=str(other.dtype)):
            loss(model, other)
    with pytest.raises(ValueError, match="for 9 labels"):
        loss(model, y[:9])(x, x)
    for other in (attack, uae.MinMaxAttack(steps=1)):  # nine of them would fit the chunk
        with pytest.raises(ValueError, match="labels for 120 samples: need one for each of 9"):
            other(loss(model, y), x[:9])


def test_labels_are_looked_at_before_the_first_sample_is_attacked(setting):
    model, x, y = setting
    bad, calls = y.clone(), []
    bad[119] = 7
    handle = model.register_forward_hook(lambda module, inputs, output: calls.append(len(output)))
    try:
        for attack in (uae.PGD(0.1, batch_size=30), uae.MinMaxAttack(steps=50, mi=None, batch_size=30)):
            for check in (True, False):  # which is about probabilities alone
                with pytest.raises(ValueError, match=r"sample 119: the label 7 is outside 0..3"):
                    attack(losses.Margin(model, bad, check=check), x)
    finally:
        handle.remove()
    assert calls == [1] * 4


def test_probabilities_are_refused_unless_one_insists(setting):
    model, x, y = setting
    softmax = nn.Sequential(model, nn.Softmax(1)).eval()
    with pytest.raises(ValueError, match=r"sample 0: the model's output .* these look like probabilities"):
        losses.Margin(softmax, y)(x, x)
    assert (losses.Margin(softmax, y, check=False)(x, x).abs() <= 1).all()
    losses.Margin(nn.Sequential(model, nn.Sigmoid()).eval(), y)(x, x)  # in [0, 1], other sums
    some = model(x).detach()
    some[3] = torch.tensor([0.1, 0.2, 0.3, 0.4])  # one row may look like it by chance
    losses.Margin(lambda x: some, y)(x, x)


def test_the_criterion_is_the_papers(setting):
    """f_sup of section 4, one sample at a time; foolbox's Carlini-Wagner attack has the same."""
    model, x, y = setting
    targets = (y + 2) % 4
    f, g = losses.Margin(model, y)(x, x), losses.Margin(model, y, True, targets)(x, x)
    for i, logits in enumerate(model(x).tolist()):
        others = [v for j, v in enumerate(logits) if j != y[i]]
        assert f[i].item() == pytest.approx(logits[y[i]] - max(others), abs=1e-6)
        others = [v for j, v in enumerate(logits) if j != targets[i]]
        assert g[i].item() == pytest.approx(max(others) - logits[targets[i]], abs=1e-6)


@pytest.mark.parametrize(
    ("shape", "widths", "count", "maps"),
    [
        # Counted by hand from Carlini and Wagner's Table 1.
        ((1, 28, 28), (32, 64, 200), 320 + 9248 + 18496 + 36928 + 205000 + 40200 + 2010, (32, 26, 26)),
        ((3, 32, 32), (64, 128, 256), 1792 + 36928 + 73856 + 147584 + 819456 + 65792 + 2570, (64, 30, 30)),
    ],
)
def test_the_classifier_is_carlini_and_wagners(shape, widths, count, maps):
    model = models.build("carlini-wagner", shape, widths=widths).eval()
    assert sum(p.numel() for p in model.parameters()) == count
    x = torch.rand(2, *shape)
    assert model(x).shape == (2, 10) and model.penultimate(x).shape == (2, widths[2])
    assert model.features[0](x).shape == (2, *maps)
    assert [m.p for m in model.modules() if isinstance(m, nn.Dropout)] == [0.5]
    with pytest.raises(ValueError, match="at least 16x16"):
        models.build("carlini-wagner", (1, 12, 28))
