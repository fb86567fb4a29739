"""The training stage: its progress, and settings that it cannot use."""

from __future__ import annotations

import pytest

from tests.unit.stages.test_supervised import write_data
from uae.errors import ConfigError
from uae.stages import train


def test_the_progress_of_a_concrete_autoencoder_counts_the_epochs_of_its_try(tmp_path):
    """Else a log has a line for each epoch after the first try, and a bar is full while it trains."""
    write_data(tmp_path / "data.safetensors", count=6)
    settings = {"network": "concrete", "training": "concrete", "arguments": {"features": 3}, "epochs": 2}
    settings |= {"tries": 3, "lr": 1e-6}  # too slow to settle
    seen = []
    train.run(
        tmp_path / "checkpoints/mnist/concrete/original/seed0.safetensors",
        data=tmp_path / "data.safetensors",
        settings=settings,
        progress=lambda done, total, note: seen.append((done, total)),
    )
    # The tries take 2, 4 and 8 epochs
    ends = [2] * 2 + [6] * 4 + [14] * 8
    assert seen == list(zip(range(1, 15), ends, strict=True))


@pytest.mark.parametrize("arguments", [{"latnt": 3}, {"latent": 0}, {"latent": "a"}])
def test_arguments_that_the_network_does_not_take_are_named_with_their_key(tmp_path, arguments):
    """Jobs show a `ConfigError` without a traceback."""
    write_data(tmp_path / "data.safetensors", count=6)
    settings = {"network": "dense", "training": "autoencoder", "arguments": arguments, "epochs": 1}
    target = tmp_path / "checkpoints/mnist/dense/original/seed0.safetensors"
    with pytest.raises(ConfigError, match=r"the model dense on mnist: network dense.*lat"):
        train.run(target, data=tmp_path / "data.safetensors", settings=settings)
    assert not target.exists()
