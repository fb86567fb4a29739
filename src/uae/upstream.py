"""Read checkpoints that others published as PyTorch files, without running any code in them."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from uae import models, storage
from uae.data import catalogue
from uae.errors import BadFile, InputError


def load(path: str | Path, name: str) -> nn.Module:
    """Load the model of a published checkpoint, in eval mode on the CPU.

    name: a name in data/models.yaml: `trades-mnist`, `trades-cifar10`, `advertorch-mnist`.
    PyTorch's restricted unpickler reads the file and runs no code. Raises BadFile naming the file if it does
    not hold the weights of this architecture: for other names or shapes, values that are not finite, or a
    pickle that needs code.
    """
    known = catalogue.models()
    if name not in known:
        raise InputError(f"no published checkpoint {name!r}; there are {', '.join(known)}")
    entry = known[name]
    weights = {_ours(key, entry): tensor for key, tensor in read(path).items() if not _dropped(key, entry)}
    model = models.build(entry.network, entry.shape, **entry.arguments).eval()
    _check(Path(path), name, weights, model.state_dict())
    model.load_state_dict(weights, strict=False)
    return model


def convert(path: str | Path, name: str) -> tuple[nn.Module, dict[str, Any]]:
    """The model, and its metadata for a checkpoint of this package. For the errors see `load`."""
    model = load(path, name)
    origin = {"name": name, "file": Path(path).name, "sha256": storage.digest(path)}
    described = catalogue.models()[name].model_dump(include={"network", "arguments", "shape"})
    return model, described | {"upstream": origin}


def read(path: str | Path) -> dict[str, Tensor]:
    """The weights in a PyTorch file by name, without the prefix `module.`. For the errors see `load`."""
    path = Path(path)
    if not path.is_file():
        raise BadFile(f"{path}: no such file")
    try:
        with warnings.catch_warnings(action="ignore"):  # unusual pickles warn; they are refused below
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged or hostile file can make the reader raise anything
        asked = re.search(r"GLOBAL (\S+)", str(error))
        reason = f"it asks for {asked[1]}" if asked else type(error).__name__
        raise BadFile(
            f"{path}: refused: not a plain file of weights ({reason}); nothing in it was run"
        ) from None
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict) or not content:
        raise BadFile(f"{path}: refused: holds a {type(content).__name__}, not weights by name")
    for key, value in content.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise BadFile(f"{path}: refused: {key!r} is a {type(value).__name__}, not a tensor")
    return {key.removeprefix("module."): value for key, value in content.items()}


def _dropped(key: str, entry: catalogue.Published) -> bool:
    return any(key.startswith(f"{part}.") for part in entry.drop)


def _ours(key: str, entry: catalogue.Published) -> str:
    for pattern, ours in entry.rename.items():
        key = re.sub(pattern, ours, key)
    return key


def _check(path: Path, name: str, given: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    # Counters of seen batches have no effect at test time, and old versions of PyTorch lack them.
    needed = {key for key in wanted if not key.endswith("num_batches_tracked")}
    missing, unknown = sorted(needed - set(given)), sorted(set(given) - set(wanted))
    if missing or unknown:
        parts = [f"lacks {_few(missing)}"] * bool(missing) + [f"has {_few(unknown)}"] * bool(unknown)
        raise BadFile(f"{path}: refused: not the architecture of {name}: {' and '.join(parts)}")
    for key, tensor in given.items():
        shape, expected = tuple(tensor.shape), tuple(wanted[key].shape)
        if shape != expected:
            raise BadFile(f"{path}: refused: {key} has shape {shape}, {name} has {expected}")
        if not tensor.isfinite().all():
            raise BadFile(f"{path}: refused: {key} has values that are not finite")


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
