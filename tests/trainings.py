"""What the tests of the trainings share: small data, and a training that is killed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from uae import models
from uae.training import FITS, loop


def discs(count: int = 40) -> Tensor:
    """Images (count, 1, 8, 8) of a disc somewhere: something that an autoencoder can learn."""
    centres = torch.rand(count, 2, 1, 1, generator=torch.Generator().manual_seed(0)) * 8
    rows, columns = torch.meshgrid(torch.arange(8), torch.arange(8), indexing="ij")
    inside = (rows - centres[:, 0]) ** 2 + (columns - centres[:, 1]) ** 2 < 6
    return inside.float()[:, None]


def table(count: int = 40, size: int = 12) -> Tensor:
    """Rows (count, size) in [0, 1] of two independent numbers, mixed."""
    generator = torch.Generator().manual_seed(1)
    return torch.rand(count, 2, generator=generator) @ torch.rand(2, size, generator=generator) / 2


def start(network: str, shape: tuple[int, ...], **arguments: Any) -> nn.Module:
    torch.manual_seed(0)
    return models.build(network, shape, **arguments)


class Killed(Exception):
    pass


def kill_and_resume(
    training: str, build: Callable[[], nn.Module], x: Tensor, kill_at: int, path: Path, **recipe: Any
) -> tuple[list[float], list[int]]:
    """Assert that a training killed after epoch `kill_at` ends as an unbroken one.

    The history, and the epochs that the second start ran.
    """

    def kill(done: int, loss: float) -> None:
        if done == kill_at:
            raise Killed

    fit, unbroken, resumed, epochs = FITS[training], build(), build(), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "SECONDS_BETWEEN_SAVES", -1)
        history = fit(unbroken, x, **recipe, seed=5)
        torch.manual_seed(123)  # whatever happened to the default generator meanwhile
        with pytest.raises(Killed):
            fit(resumed, x, **recipe, seed=5, resume=path, tag="t", progress=kill)
        resumed = build()
        torch.manual_seed(321)
        found = fit(
            resumed, x, **recipe, seed=5, resume=path, tag="t",
            progress=lambda done, loss: epochs.append(done),
        )  # fmt: skip
    assert found == history
    for name, weight in unbroken.state_dict().items():
        assert torch.equal(weight, resumed.state_dict()[name]), name
    return history, epochs
