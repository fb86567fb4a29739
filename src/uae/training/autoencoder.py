"""Fit an autoencoder: data resident on the device, one loop, resumable at every epoch."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from uae import seeding, storage
from uae.errors import BadFile, Diverged


def binary_cross_entropy(output: Tensor, target: Tensor) -> Tensor:
    """As Keras has it: PyTorch's own refuses targets outside [0, 1], which Gaussian noise makes."""
    output = output.clamp(1e-7, 1 - 1e-7)
    return -(target * output.log() + (1 - target) * torch.log1p(-output)).mean()


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mse": F.mse_loss,
    "bce": binary_cross_entropy,
}

# Keras' defaults at the time of the paper where PyTorch has others: rho, and epsilon 1e-7.
OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": lambda p, lr: torch.optim.Adam(p, lr=lr, eps=1e-7),
    "rmsprop": lambda p, lr: torch.optim.RMSprop(p, lr=lr, alpha=0.9, eps=1e-7),
    "adadelta": lambda p, lr: torch.optim.Adadelta(p, lr=lr, rho=0.95, eps=1e-7),
}

SECONDS_BETWEEN_SAVES = 10.0

log = logging.getLogger(__name__)


def fit(
    model: nn.Module,
    x: Tensor,
    *,
    loss: str,
    optimizer: str,
    lr: float,
    batch_size: int,
    epochs: int,
    seed: int,
    resume: Path | None = None,
    tag: str = "",
    progress: Callable[[int, float], None] | None = None,
) -> list[float]:
    """Train `model` in place on x (N, *shape), input and target alike; the mean loss of each epoch.

    resume: a file that holds the state of the last epoch while the training runs. If it exists when
        `fit` starts, training goes on from there and ends with the weights of an unbroken run.
    tag: names the data and settings; a state left under another tag, or half a file, is not used.
    progress: called with (epochs done, loss of the epoch).
    Raises Diverged, naming epoch and step, when the loss is not finite; the last good state stays in
    `resume`.
    """
    criterion = LOSSES[loss]
    stepper = OPTIMIZERS[optimizer](model.parameters(), lr)
    history = _restore(resume, tag, model, stepper)
    generator = torch.Generator()
    saved = time.monotonic()
    model.train()
    for epoch in range(len(history), epochs):
        generator.manual_seed(seeding.derive(seed, f"shuffle/{epoch}"))
        order = torch.randperm(len(x), generator=generator).to(x.device)
        losses = []
        for rows in order.split(batch_size):
            batch = x[rows]
            value = criterion(model(batch), batch)
            stepper.zero_grad(set_to_none=True)
            value.backward()
            stepper.step()
            losses.append(value.detach() * len(rows))
        losses = torch.stack(losses)
        if not losses.isfinite().all():  # looked at once an epoch: a look at each step stalls a GPU
            step = int((~losses.isfinite()).nonzero()[0])
            raise Diverged(f"the loss is {losses[step].item()} at epoch {epoch}, step {step}")
        history.append(losses.sum().item() / len(x))
        if progress is not None:
            progress(epoch + 1, history[-1])
        if resume is not None and time.monotonic() - saved > SECONDS_BETWEEN_SAVES:
            # An epoch's last step can break the weights when all its losses were finite.
            if all(weight.isfinite().all() for weight in model.parameters()):
                _save(resume, tag, model, stepper, history)
            saved = time.monotonic()
    model.eval()
    return history


def _save(
    path: Path, tag: str, model: nn.Module, stepper: torch.optim.Optimizer, history: list[float]
) -> None:
    arrays = {f"model/{name}": t.cpu().numpy() for name, t in model.state_dict().items()}
    for number, state in stepper.state_dict()["state"].items():
        arrays |= {f"optimizer/{number}/{key}": torch.as_tensor(t).cpu().numpy() for key, t in state.items()}
    storage.write_tensors(path, arrays, {"history": history, "tag": tag})


def _restore(path: Path | None, tag: str, model: nn.Module, stepper: torch.optim.Optimizer) -> list[float]:
    if path is None or not path.exists():
        return []
    try:
        arrays, metadata = storage.read_tensors(path)
    except BadFile as error:
        log.warning("%s; training starts again", error)
        return []
    if metadata["tag"] != tag:
        return []
    state: dict[int, dict[str, Tensor]] = {}
    weights = {}
    for name, array in arrays.items():
        kind, _, rest = name.partition("/")
        if kind == "model":
            weights[rest] = torch.from_numpy(array)
        else:
            number, key = rest.split("/")
            state.setdefault(int(number), {})[key] = torch.from_numpy(array)
    model.load_state_dict(weights)
    stepper.load_state_dict(stepper.state_dict() | {"state": state})
    return metadata["history"]
