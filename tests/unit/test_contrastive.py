"""NT-Xent and the contrastive criterion: lightly's values, closed forms, independence of the batch."""

import math
import os

import pytest
import torch

os.environ.setdefault("LIGHTLY_DID_VERSION_CHECK", "True")  # it would ask its server for news

from lightly.loss import NTXentLoss

import uae
from uae import memory, models
from uae.contrastive import Contrastive, nt_xent

Z = torch.randn(2, 16, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
IMAGES = torch.rand(5, 3, 16, 16, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return models.build("simclr", (3, 16, 16), width=8, dim=16).eval()


@pytest.mark.parametrize("temperature", [0.1, 0.5, 1.0])
def test_loss_and_gradient_agree_with_lightly(temperature):
    ours, theirs = Z.clone().requires_grad_(), Z.clone().requires_grad_()
    value, expected = nt_xent(ours, temperature), NTXentLoss(temperature)(theirs[0], theirs[1])
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(
        torch.autograd.grad(value, ours), torch.autograd.grad(expected, theirs), atol=1e-12, rtol=1e-7
    )


def test_three_views_average_over_the_pairs():
    """Cross-entropy of every ordered pair of views of a sample, written out."""
    z = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    unit = torch.nn.functional.normalize(z, dim=-1).reshape(12, 5)
    losses = []
    for i in range(12):
        for j in range(12):
            if i != j and i % 4 == j % 4:
                others = [torch.exp(unit[i] @ unit[k] / 0.5) for k in range(12) if k != i]
                losses.append(-torch.log(torch.exp(unit[i] @ unit[j] / 0.5) / sum(others)))
    torch.testing.assert_close(nt_xent(z), torch.stack(losses).mean())


def test_identical_embeddings_cost_the_logarithm_of_the_others():
    assert nt_xent(torch.ones(2, 50, 7)).item() == pytest.approx(math.log(99), rel=1e-6)


def test_leading_dimensions_are_separate_batches():
    z = torch.randn(3, 2, 6, 4, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(nt_xent(z), torch.stack([nt_xent(part) for part in z]))


def test_large_scores_do_not_overflow():
    assert nt_xent(Z.float(), temperature=1e-3).isfinite()


@pytest.mark.parametrize("shape", [(2, 1, 8), (1, 4, 8), (4, 8)])
def test_a_batch_too_small(shape):
    with pytest.raises(ValueError, match="at least 2 views and 2 samples"):
        nt_xent(torch.ones(shape))


def test_an_embedding_without_length_is_not_a_number():
    z = Z.clone()
    z[0, 3] = 0
    assert nt_xent(z).isnan()


def test_criterion_is_nt_xent_over_the_copies_of_one_sample(model):
    loss = Contrastive(model, copies=6, seed=3)
    values = loss(IMAGES, IMAGES)
    assert values.shape == (5,)
    views = loss.augmentation.draw(3, torch.tensor([2]), "contrastive", (16, 16), 12)
    z = model(loss.augmentation(IMAGES[[2] * 12], views)).detach()
    expected = NTXentLoss(0.5)(z[0::2], z[1::2])
    torch.testing.assert_close(values[2], expected, atol=1e-5, rtol=0)


def test_criterion_does_not_depend_on_the_batch(model):
    loss = Contrastive(model, copies=4)
    whole = loss(IMAGES, IMAGES)
    for rows in (slice(2, 5), slice(3, 99), torch.tensor([4, 0])):
        part = IMAGES[rows]
        torch.testing.assert_close(loss.subset(rows)(part, part), whole[rows], atol=1e-5, rtol=0)
    torch.testing.assert_close(
        loss.subset(slice(1, 5)).subset(slice(1, 3))(IMAGES[2:4], IMAGES[2:4]), whole[2:4], atol=1e-5, rtol=0
    )
    named = Contrastive(model, copies=4, index=torch.tensor([9, 4, 7]))
    other = Contrastive(model, copies=4, index=torch.tensor([4]))
    torch.testing.assert_close(
        named.subset(slice(1, 2))(IMAGES[:1], IMAGES[:1]), other(IMAGES[:1], IMAGES[:1])
    )


def test_gradient_is_autograds_and_chunks_change_nothing(model, monkeypatch):
    loss = Contrastive(model, copies=4)
    x = IMAGES.clone().requires_grad_()
    values = loss(x, IMAGES)
    weight = torch.arange(1.0, 6)
    (found,) = torch.autograd.grad((weight * values).sum(), x)
    expected = torch.autograd.grad((weight * loss._loss(x, torch.arange(5))).sum(), x)[0]
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-4)
    monkeypatch.setattr("uae.contrastive.CPU_VIEWS", 16)
    loss = Contrastive(model, copies=4)
    again = loss(x, IMAGES)
    torch.testing.assert_close(again, values, atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.autograd.grad((weight * again).sum(), x)[0], found, atol=1e-6, rtol=1e-4)
    assert all(p.grad is None for p in model.parameters())


def test_minmax_attack_lowers_the_loss_and_sees_the_first_convolution(model):
    seen = []
    handle = model.encoder.conv1.register_forward_hook(lambda module, args, out: seen.append(out.shape[1]))
    attack = uae.MinMaxAttack(steps=4, decay_power=0.5, mi=uae.MINE(inner_steps=2))
    result = attack(Contrastive(model, copies=4), IMAGES, seed=0)
    handle.remove()
    assert set(seen) == {8}
    assert result.mi[result.success].isfinite().all()
    assert (result.loss[result.success] <= result.loss_clean[result.success]).all()
    again = Contrastive(model, copies=4)
    torch.testing.assert_close(again(result.adv, IMAGES), result.loss, atol=1e-5, rtol=0)


def test_criterion_refuses_what_it_can_not_do(model):
    for arguments in ({"copies": 1}, {"views": 1}):
        with pytest.raises(ValueError, match="at least 2 copies and 2 views"):
            Contrastive(model, **arguments)
    with pytest.raises(ValueError, match=r"3 samples, but indices of 5: call `subset"):
        Contrastive(model, copies=2, index=torch.arange(5))(IMAGES[:3], IMAGES[:3])
    with pytest.raises(ValueError, match=r"index must hold integers, got torch\.float32"):
        Contrastive(model, index=torch.arange(3) / 10)
    with pytest.raises(ValueError, match="seed must be an integer, got True"):
        Contrastive(model, seed=True)


def test_a_constant_view_names_the_sample():
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.LayerNorm(3 * 16 * 16)).eval()
    images = IMAGES.clone()
    images[3] = 0.0
    with pytest.raises(ValueError, match="sample 3: the embedding of a view has length 0"):
        Contrastive(model, copies=3)(images, images)


class Still:
    """Views in evaluation mode, as the authors' code makes them: each is the image itself."""

    def draw(self, *args):
        return None

    def __call__(self, images, views):
        return images


def test_views_at_a_time_fit_a_gpu_s_memory(monkeypatch):
    """Two samples of six views, for which the layers save 768 and 5,000 numbers each."""
    torch.manual_seed(0)
    wide = torch.nn.Linear(768, 5000), torch.nn.Tanh(), torch.nn.Linear(5000, 4)
    encoder = torch.nn.Sequential(torch.nn.Flatten(), *wide).eval()
    expected = Contrastive(encoder, copies=3, augmentation=Still())(IMAGES, IMAGES)
    monkeypatch.setattr(memory, "free", lambda device: 3 * int(2.9 * 6 * 4 * (768 + 5000)))
    seen = []
    encoder.register_forward_hook(lambda module, args, out: seen.append(len(out)))
    loss, x = Contrastive(encoder, copies=3, augmentation=Still()), IMAGES.clone().requires_grad_()
    found = loss(x, IMAGES)
    assert seen[-3:] == [12, 12, 6]
    torch.testing.assert_close(found, expected)
    torch.autograd.grad(found.sum(), x)
    seen.clear()
    loss.subset(slice(0, 2))(IMAGES[:2], IMAGES[:2])
    assert seen == [12]  # it is measured once


def test_identical_views_make_the_criterion_a_constant(model):
    """The authors' criterion: 100 equal views of a sample. Every one of the 99 others scores alike, so the
    loss is ln 99 whatever the image, its gradient is rounding, and an attack succeeds anywhere."""
    constant = Contrastive(model, copies=50, views=2, augmentation=Still())
    x = IMAGES.clone().requires_grad_()
    values = constant(x, IMAGES)
    torch.testing.assert_close(values, torch.full((5,), math.log(99)), atol=1e-5, rtol=0)
    (gradient,) = torch.autograd.grad(values.sum(), x)
    ours = torch.rand_like(IMAGES).requires_grad_()
    (real,) = torch.autograd.grad(Contrastive(model, copies=50)(ours, IMAGES).sum(), ours)
    assert gradient.abs().max() < 1e-6 < 1e-4 < real.abs().max()
    other = torch.rand(IMAGES.shape, generator=torch.Generator().manual_seed(5))
    torch.testing.assert_close(constant(other, IMAGES), values, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("encoder", "given"),
    [
        (lambda x: (x.flatten(1), x), "a tuple"),
        (lambda x: {"z": x.flatten(1)}, "a dict"),
        (lambda x: x, r"\(20, 3, 16, 16\)"),
        (lambda x: x.flatten(1)[:10], r"\(10, 768\)"),
    ],
)
def test_an_encoder_that_gives_no_embeddings_is_named(encoder, given):
    with pytest.raises(ValueError, match=rf"the model gives {given} for 20 views: need their embeddings"):
        Contrastive(encoder, copies=5)(IMAGES[:2], IMAGES[:2])
