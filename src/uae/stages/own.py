"""Attack a model and data of one's own: what `uae attack` does."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from uae import losses, records
from uae.data.arrays import load_images, load_labels
from uae.errors import InputError
from uae.stages.resume import ATTACK, resuming

__all__ = [
    "check_out",
    "load_images",
    "load_labels",
    "load_model",
    "objective",
    "resuming_own",
    "try_model",
]


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
    except Exception as error:  # whatever a user's function raises
        raise InputError(f"--model {factory!r}: {type(error).__name__}: {error}") from error
    if not isinstance(model, nn.Module):
        raise InputError(f"--model {factory!r} gives a {type(model).__name__}, not a torch.nn.Module")
    if checkpoint is not None:
        try:
            model.load_state_dict(load_file(checkpoint))
        except SafetensorError as error:
            raise InputError(
                f"--checkpoint {checkpoint}: no whole safetensors file ({error}); "
                "safetensors.torch.save_model(model, file) writes one"
            ) from None
        except (OSError, RuntimeError) as error:
            raise InputError(f"--checkpoint {checkpoint}: {error}") from None
    return model.eval().to(device)


def check_out(out: Path) -> None:
    """Raise InputError where `out` could not be written: an attack takes long, and would be lost."""
    folder = next(path for path in out.absolute().parents if path.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise InputError(f"--out {out}: {folder} is no folder that can be written to")


def try_model(factory: str, model: nn.Module, images: Tensor) -> None:
    """Run the model on one sample. Raises InputError where it cannot take it."""
    try:
        with torch.no_grad():
            model(images[:1])
    except (RuntimeError, TypeError, ValueError) as error:
        kind = f"{tuple(images.shape[1:])}, {images.dtype}"
        raise InputError(f"--model {factory!r} cannot take samples of shape {kind}: {error}") from error


def resuming_own(
    out: Path, model: nn.Module, objective: str, labels: Tensor | None, copies: int
) -> dict[str, Any]:
    """The options `resume` and `tag` of an attack on the model that writes `out`."""
    weights = hashlib.sha256()
    for tensor in model.state_dict().values():
        weights.update(tensor.cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    try:
        code = inspect.getsource(type(model))
    except (OSError, TypeError):  # typed in, or compiled
        code = ""
    held = [objective, None if labels is None else labels.tolist(), copies]
    return resuming(out, ATTACK, records.Clock(), str(model), code, weights.hexdigest(), *held)


def objective(
    name: str,
    model: nn.Module,
    *,
    squared: bool,
    labels: Tensor | None,
    logits: bool = True,
    copies: int,
    seed: int,
) -> Callable[[Tensor, Tensor], Tensor]:
    """The loss of `uae attack --objective`. Raises InputError for a name that is none.

    logits: refuse probabilities in their place.
    """
    if name == "reconstruction":
        return losses.Reconstruction(model, squared=squared)
    if name == "margin":
        return losses.Margin(model, labels, check=logits)
    if name == "contrastive":
        return losses.Contrastive(model, copies=copies, seed=seed)
    raise InputError(f"--objective {name!r} is none of reconstruction, margin, contrastive")
