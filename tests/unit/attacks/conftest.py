"""The small model, images and attack of several test files."""

from __future__ import annotations

import pytest
import torch

import uae
from uae import models

ATTACK = uae.MinMaxAttack(steps=2, mi=uae.MINE(inner_steps=1))


def images(n=3):
    return torch.rand(n, 1, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def model():
    torch.manual_seed(0)
    return models.build("convolutional", (1, 8, 8), widths=(4, 2)).eval()
