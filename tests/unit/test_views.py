"""SimCLR's views: torchvision's pixels for the same draws, torchvision's distributions, any batch alike."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as tv

from uae.views import HUE, Augmentation, Views, colour_jitter, resized_crop, shift_hue

IMAGES = torch.rand(24, 3, 32, 32, generator=torch.Generator().manual_seed(0))
N = 4000


def draw(count=N, purpose="view", seed=0):
    return Augmentation().draw(seed, torch.arange(count), purpose, (32, 32))


def test_crops_have_torchvisions_pixels():
    views = draw(len(IMAGES))
    found = resized_crop(IMAGES, views.crop, views.flip)
    for image, view, crop, flip in zip(IMAGES, found, views.crop.int().tolist(), views.flip, strict=True):
        expected = tv.resized_crop(image, *crop, size=[32, 32], antialias=True)
        expected = tv.horizontal_flip(expected) if flip else expected
        torch.testing.assert_close(view, expected, atol=2e-6, rtol=0)


def test_colours_have_torchvisions_pixels():
    views = draw(len(IMAGES))
    steps = [tv.adjust_brightness, tv.adjust_contrast, tv.adjust_saturation, tv.adjust_hue]
    found = colour_jitter(IMAGES, views.factors, views.order)
    assert len({tuple(order) for order in views.order.tolist()}) > 10
    for image, view, factors, order in zip(IMAGES, found, views.factors, views.order, strict=True):
        for operation in order.tolist():
            image = steps[operation](image, factors[operation].item())
        torch.testing.assert_close(view, image, atol=2e-5, rtol=0)


def test_hue_of_grey_and_of_pure_colours():
    grey = torch.full((1, 3, 2, 2), 0.3)
    assert torch.equal(shift_hue(grey, torch.tensor([0.4])), grey)
    red = torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1)
    torch.testing.assert_close(shift_hue(red, torch.tensor([1 / 3])).flatten(), torch.tensor([0.0, 1, 0]))
    corners = torch.cartesian_prod(*[torch.tensor([0.0, 0.5, 1.0])] * 3).T.reshape(1, 3, 3, 9)
    torch.testing.assert_close(shift_hue(corners, torch.zeros(1)), corners)


def test_without_jitter_and_crop_nothing_changes():
    views = draw(len(IMAGES))
    whole = torch.tensor([0.0, 0, 32, 32]).expand(len(IMAGES), 4)
    never = torch.zeros(len(IMAGES), dtype=torch.bool)
    views = Views(whole, never, never, never, views.factors, views.order)
    torch.testing.assert_close(Augmentation()(IMAGES, views), IMAGES, atol=1e-6, rtol=0)


def test_crops_are_distributed_as_torchvisions():
    torch.manual_seed(0)
    transform = v2.RandomResizedCrop(32, scale=(0.08, 1.0))
    drawn = [transform.make_params([IMAGES[0]]) for _ in range(N)]
    expected = np.array([[p[key] for key in ("top", "left", "height", "width")] for p in drawn])
    found = draw().crop.numpy()
    assert (found[:, 0] + found[:, 2] <= 32).all() and (found[:, 1] + found[:, 3] <= 32).all()
    both = [*found.T, found[:, 2] * found[:, 3], found[:, 3] / found[:, 2]]
    theirs = [*expected.T, expected[:, 2] * expected[:, 3], expected[:, 3] / expected[:, 2]]
    for mine, other in zip(both, theirs, strict=True):
        assert stats.ks_2samp(mine, other).pvalue > 1e-3
    # Where a crop lies depends on how large it is: the two together, not one at a time.
    for mine, other in ((np.corrcoef(found.T), np.corrcoef(expected.T)),):
        np.testing.assert_allclose(mine, other, atol=5 / math.sqrt(N))


def test_colours_are_distributed_as_torchvisions():
    torch.manual_seed(0)
    transform = v2.ColorJitter(0.4, 0.4, 0.4, 0.1)
    drawn = [transform.make_params([IMAGES[0]]) for _ in range(N)]
    views = draw()
    for column, key in enumerate(("brightness", "contrast", "saturation", "hue")):
        expected = np.array([p[f"{key}_factor"] for p in drawn])
        assert stats.ks_2samp(views.factors[:, column].numpy(), expected).pvalue > 1e-3
    for place in range(4):
        count = torch.bincount(views.order[:, place], minlength=4)
        assert stats.chisquare(count.numpy()).pvalue > 1e-3


def test_flip_jitter_and_grey_come_as_often_as_asked():
    views = draw()
    for coins, probability in ((views.flip, 0.5), (views.jitter, 0.8), (views.grey, 0.2)):
        assert stats.binomtest(int(coins.sum()), N, probability).pvalue > 1e-3
    pairs = np.array([views.flip.numpy(), views.jitter.numpy(), views.grey.numpy()])
    assert np.abs(np.corrcoef(pairs)[np.triu_indices(3, 1)]).max() < 5 / math.sqrt(N)


def test_whole_views_are_distributed_as_torchvisions():
    """Channel means and spreads of views of one image, every operation together."""
    torch.manual_seed(0)
    image = tv.resize(IMAGES[0, :, :4, :4], [32, 32])
    transform = v2.Compose(
        [
            v2.RandomResizedCrop(32, scale=(0.08, 1.0)),
            v2.RandomHorizontalFlip(),
            v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.4, 0.1)], 0.8),
            v2.RandomGrayscale(0.2),
        ]
    )
    count = 500
    expected = torch.stack([transform(image) for _ in range(count)])
    found = Augmentation()(image.expand(count, 3, 32, 32), draw(count))
    for measure in (
        lambda v: v.mean((2, 3)),
        lambda v: v.std((2, 3)),
        lambda v: v[:, :, 0, 0],
        lambda v: v[:, :, 16, 31],
    ):
        for mine, other in zip(measure(found).T, measure(expected).T, strict=True):
            assert stats.ks_2samp(mine.numpy(), other.numpy()).pvalue > 1e-3


def test_a_view_depends_on_seed_sample_and_purpose_alone():
    augmentation, index = Augmentation(), torch.tensor([7, 3, 11])
    views = augmentation.draw(5, index, "view/2", (32, 32), count=2)
    found = augmentation(IMAGES[index].repeat_interleave(2, 0), views).unflatten(0, (3, 2))
    alone = augmentation.draw(5, index[1:2], "view/2", (32, 32), count=2)
    assert torch.equal(augmentation(IMAGES[[3, 3]], alone), found[1])
    assert not torch.equal(found[1, 0], found[1, 1])
    for other in (
        augmentation.draw(6, index, "view/2", (32, 32), 2),
        augmentation.draw(5, index, "view/3", (32, 32), 2),
    ):
        assert not torch.equal(other.crop, views.crop)


def test_gradients_are_those_of_finite_differences():
    views = draw(4)
    augmentation = Augmentation()
    image = 0.2 + 0.6 * torch.rand(
        4, 3, 32, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(3)
    )
    weight = torch.randn(4, 3, 32, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    direction = torch.randn_like(weight)

    def value(step):
        return (augmentation(image + step * direction, views) * weight).sum()

    step = torch.zeros((), dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(value(step), step)
    h = 1e-7
    assert slope.item() == pytest.approx(((value(h) - value(-h)) / (2 * h)).item(), rel=1e-4)


def test_gradients_of_a_grey_and_a_black_image_are_finite():
    flat = torch.stack([torch.zeros(3, 32, 32), torch.full((3, 32, 32), 0.5)]).requires_grad_()
    views = draw(2)
    assert views.factors[:, HUE].all()
    Augmentation()(flat, views).sum().backward()
    assert flat.grad.isfinite().all()


def test_greyscale_images_are_refused():
    with pytest.raises(ValueError, match=r"\(N, 3, H, W\), got \(4, 1, 32, 32\)"):
        Augmentation()(torch.rand(4, 1, 32, 32), draw(4))
