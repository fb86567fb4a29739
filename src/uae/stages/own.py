"""Attack a model and data of one's own: what `uae attack` does."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from uae import losses, storage
from uae.data.readers import common
from uae.errors import InputError


def load_model(factory: str, checkpoint: Path | None = None, device: str = "cpu") -> nn.Module:
    """The model that `module:callable` returns, in eval mode, with the weights of a safetensors file.

    Modules are looked for in the working directory, too. Raises InputError naming what is wrong.
    """
    module, separator, name = factory.partition(":")
    if not separator:
        raise InputError(f"--model {factory!r}: write it as module:callable")
    sys.path.insert(0, str(Path.cwd()))
    try:
        model = getattr(importlib.import_module(module), name)()
    except (ImportError, AttributeError, TypeError) as error:
        raise InputError(f"--model {factory!r}: {error}") from None
    if not isinstance(model, nn.Module):
        raise InputError(f"--model {factory!r} gives a {type(model).__name__}, not a torch.nn.Module")
    if checkpoint is not None:
        try:
            model.load_state_dict(load_file(checkpoint))
        except (OSError, SafetensorError, RuntimeError) as error:
            raise InputError(f"--checkpoint {checkpoint}: {error}") from None
    return model.eval().to(device)


def objective(
    name: str, model: nn.Module, *, squared: bool, labels: Tensor | None, copies: int, seed: int
) -> Callable[[Tensor, Tensor], Tensor]:
    """The loss of `uae attack --objective`. Raises InputError for a name that is none."""
    if name == "reconstruction":
        return losses.Reconstruction(model, squared=squared)
    if name == "margin":
        return losses.Margin(model, labels)
    if name == "contrastive":
        return losses.Contrastive(model, copies=copies, seed=seed)
    raise InputError(f"--objective {name!r} is none of reconstruction, margin, contrastive")


def load_images(path: Path, array: str = "x") -> Tensor:
    """The array of a .npy, .npz or .safetensors file as float32; bytes are divided by 255."""
    values = _load(path, array)
    return values.float() / 255 if values.dtype == torch.uint8 else values.float()


def load_labels(path: Path, array: str = "y") -> Tensor:
    """The array of labels, int64. Raises InputError where it is of another type."""
    values = _load(path, array)
    if values.is_floating_point() or values.ndim != 1:
        raise InputError(f"--data {path}: {array!r} must be a row of integers, the labels")
    return values.long()


def _load(path: Path, array: str) -> Tensor:
    """Raises InputError naming a file that is damaged, lacks the array, or holds a type unknown to torch."""
    try:
        if path.suffix == ".npy":
            values = np.load(path, allow_pickle=False)
        elif path.suffix == ".safetensors":
            values = storage.read_tensors(path, array)[0][array]
        else:
            (values,) = common.arrays(path, array)
        return torch.from_numpy(values)
    except InputError:
        raise
    except (OSError, ValueError, TypeError, EOFError) as error:
        raise InputError(f"--data {path}: {error}") from None
