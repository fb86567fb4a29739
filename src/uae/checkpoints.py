"""Checkpoints: safetensors with the architecture and the training settings in the metadata."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from uae import models, storage
from uae.errors import BadFile


def save(path: str | Path, model: nn.Module, metadata: dict[str, Any]) -> None:
    """Write a checkpoint. `load` builds the model from `network`, `arguments` and `shape` in `metadata`."""
    arrays = {name: tensor.detach().cpu().numpy() for name, tensor in model.state_dict().items()}
    storage.write_tensors(path, arrays, metadata)


def load(path: str | Path, device: str | torch.device = "cpu") -> tuple[nn.Module, dict[str, Any]]:
    """Load the model, in eval mode, and the metadata. Raises `BadFile` naming the file."""
    arrays, metadata = storage.read_tensors(path)
    try:
        model = models.build(metadata["network"], tuple(metadata["shape"]), **metadata["arguments"])
        model.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise BadFile(f"{path}: not a checkpoint of this package: {error}") from None
    return model.eval().to(device), metadata
