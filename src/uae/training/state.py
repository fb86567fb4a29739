"""The state of a training between two epochs, as a safetensors file."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from uae import storage
from uae.errors import BadFile

log = logging.getLogger(__name__)

Optimizers = Sequence[torch.optim.Optimizer]


@dataclass
class State:
    """history: the loss of each finished epoch.  best: the weights of the epoch with the lowest loss, if
    kept.  seconds: the seconds of all finished epochs.
    """

    history: list[float] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)
    seconds: float = 0.0


def finite(model: nn.Module) -> bool:
    return bool(torch.stack([weight.isfinite().all() for weight in model.parameters()]).all())


def weights(model: nn.Module) -> dict[str, Tensor]:
    """A copy of the weights and buffers, on the model's device."""
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def save(path: Path, tag: str, model: nn.Module, optimizers: Optimizers, state: State) -> None:
    arrays = _arrays("model", model.state_dict()) | _arrays("best", state.best)
    for position, optimizer in enumerate(optimizers):
        for number, moments in optimizer.state_dict()["state"].items():
            arrays |= _arrays(f"optimizer/{position}/{number}", moments)
    known = {"history": state.history, "tag": tag, "seconds": state.seconds}
    storage.write_tensors(path, arrays, known)


def restore(path: Path | None, tag: str, model: nn.Module, optimizers: Optimizers) -> State:
    """Restore the model and its optimisers from a file of `save`.

    Without a file, or if it is truncated or has another tag or none, it changes nothing and returns a new
    State. Raises ValueError if the file is something else and is not named `*.partial`.
    """
    if path is None or not path.exists():
        return State()
    try:
        arrays, metadata = storage.read_tensors(path)
    except BadFile as error:
        storage.check_progress(path, {})
        log.warning("%s; training starts again", error)
        return State()
    storage.check_progress(path, metadata)
    if metadata.get("tag") != tag:  # a file of another program may have no metadata
        return State()
    model.load_state_dict(_tensors("model", arrays))
    for position, optimizer in enumerate(optimizers):
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in _tensors(f"optimizer/{position}", arrays).items():
            number, key = name.split("/")
            moments.setdefault(int(number), {})[key] = tensor
        optimizer.load_state_dict(optimizer.state_dict() | {"state": moments})
        _lay_out(optimizer)
    device = next(model.parameters()).device
    best = {name: tensor.to(device) for name, tensor in _tensors("best", arrays).items()}
    return State(metadata["history"], best, metadata["seconds"])


def _arrays(prefix: str, tensors: dict[str, Tensor]) -> dict[str, np.ndarray]:
    return {f"{prefix}/{name}": torch.as_tensor(t).cpu().numpy() for name, t in tensors.items()}


def _tensors(prefix: str, arrays: dict[str, np.ndarray]) -> dict[str, Tensor]:
    start = f"{prefix}/"
    return {k.removeprefix(start): torch.from_numpy(a) for k, a in arrays.items() if k.startswith(start)}


def _lay_out(optimizer: torch.optim.Optimizer) -> None:
    """Give the moments the memory layout of their weights, which a file does not keep. Fused updates pass
    over both together."""
    for weight, moments in optimizer.state.items():
        for key, moment in moments.items():
            if moment.shape == weight.shape:
                moments[key] = torch.empty_like(weight).copy_(moment)
