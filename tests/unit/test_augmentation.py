"""Augmented training sets."""

import pytest
import torch

from uae import augmentation


def test_gaussian_augmentation():
    x = torch.zeros(2000, 1, 4, 4)
    first, second = (
        augmentation.gaussian(x, 0.01, seed=0, draw=0),
        augmentation.gaussian(x, 0.01, seed=0, draw=1),
    )
    assert abs(first.mean()) < 3e-4  # not clipped: zero-mean
    assert first.std().item() == pytest.approx(0.01, rel=0.02)
    assert abs(torch.corrcoef(torch.stack([first.flatten(), second.flatten()]))[0, 1]) < 0.03
    torch.testing.assert_close(augmentation.gaussian(x[:5], 0.01, 0), first[:5])
    both = augmentation.augmented(x, first)
    assert torch.equal(both[:2000], x) and torch.equal(both[2000:], first)
    with pytest.raises(ValueError, match=r"\(3, 1, 4, 4\)"):
        augmentation.augmented(x, first[:3])
