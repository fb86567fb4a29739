"""The result of an attack, in memory and as a file."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from uae import storage


def mean_and_error(name: str, values: Tensor) -> dict[str, float]:
    """The mean of values (N,) under the name, and its standard error as `<name>_error` if N is at least 2."""
    values = values.double()
    found = {name: values.mean().item()}
    if len(values) > 1:
        found[f"{name}_error"] = values.std().item() / math.sqrt(len(values))
    return found


@dataclass(repr=False, eq=False)
class AttackResult:
    """Adversarial examples of N samples.

    adv: (N, *shape), in the attack's bounds: the kept iterate, or the original if none was kept. With
        `on_failure="best"` failures also keep an iterate.
    success: (N,) bool, whether an iterate was kept and f <= 0 at it.
    mi: (N,) mutual information in nats at the kept iterate; NaN without one, and for all samples of an attack
        without MINE (`mi=None`, PGD).
    loss, loss_clean: (N,) the loss at `adv` and at the original.
    step: (N,) int64, the attack step of the kept iterate, from 1; 0 without one, and for the random start
        of PGD.
    index: (N,) the samples' indices in their data set.
    eligible: (N,) bool, or None for all: the samples that count. A sample that the model misclassifies
        without an attack does not count and keeps its original.
    zero_gradient: (N,) bool, or None: samples, successes included, whose loss had no gradient at any iterate.
    trace: (N, T) or None: after each step, the mutual information of the success that is kept (with
        `keep="best"`, the best so far); without `mi`, minus its loss. NaN before the first success.
    stationarity: (N, T) or None: the MinMax attack's ||L(delta_t, c_t)||^2 (Theorem 1) at each step.
    """

    adv: Tensor
    success: Tensor
    mi: Tensor
    loss: Tensor
    loss_clean: Tensor
    step: Tensor
    index: Tensor
    eligible: Tensor | None = None
    zero_gradient: Tensor | None = None
    trace: Tensor | None = None
    stationarity: Tensor | None = None
    metadata: dict[str, Any] = field(default_factory=dict)

    TENSORS = ("adv", "success", "mi", "loss", "loss_clean", "step", "index")
    OPTIONAL = ("eligible", "zero_gradient", "trace", "stationarity")

    def __len__(self) -> int:
        return len(self.adv)

    def __repr__(self) -> str:
        shape, rate = tuple(self.adv.shape[1:]), self.success_rate
        return f"AttackResult({len(self)} samples of shape {shape}, success rate {rate:.3g})"

    @property
    def success_rate(self) -> float:
        """The attack success rate (ASR) over the samples that count, in [0, 1]; NaN if no sample counts."""
        count = len(self) if self.eligible is None else self.eligible.sum().item()
        return self.success.sum().item() / count if count else math.nan

    def median_change(self, x: Tensor) -> float:
        """The median, over the successes, of the root-mean-square change of a feature from the originals x
        (N, *shape). 0 without a success."""
        changes = (self.adv - x)[self.success].flatten(1).double().square().mean(dim=1).sqrt()
        return changes.quantile(0.5).item() if len(changes) else 0.0

    def means(self, x: Tensor) -> dict[str, float]:
        """Means over the successes: the step, the L2 norm of the perturbation of the originals x (N, *shape),
        and the mutual information if it was estimated. The last two have their standard errors, `..._error`,
        for two successes or more. Empty without a success."""
        if not self.success.any():
            return {}
        norms = (self.adv - x).flatten(1).norm(dim=1)
        found = {"step_mean": self.step[self.success].double().mean().item()}
        found |= mean_and_error("l2_mean", norms[self.success])
        if self.mi[self.success].isfinite().all():
            found |= mean_and_error("mi_mean", self.mi[self.success])
        return found

    def tensors(self) -> dict[str, Tensor]:
        """All tensors that are not None, by name."""
        found = {name: getattr(self, name) for name in self.TENSORS + self.OPTIONAL}
        return {name: tensor for name, tensor in found.items() if tensor is not None}

    @classmethod
    def concatenate(cls, parts: list[AttackResult], metadata: dict[str, Any]) -> AttackResult:
        columns = [part.tensors() for part in parts]
        tensors = {name: torch.cat([column[name] for column in columns]) for name in columns[0]}
        return cls(**tensors, metadata=metadata)

    def save(self, path: str | Path) -> None:
        """Write a safetensors file, whole or not at all. Floats of any type become float32."""
        tensors = {name: tensor.cpu() for name, tensor in self.tensors().items()}
        arrays = {k: (t.float() if t.is_floating_point() else t).numpy() for k, t in tensors.items()}
        storage.write_tensors(path, arrays, self.metadata)

    @classmethod
    def load(cls, path: str | Path) -> AttackResult:
        """Read a file that `save` wrote. Raises `BadFile` naming the file and what it lacks."""
        arrays, metadata = storage.read_tensors(path, *cls.TENSORS)
        known = [name for name in cls.TENSORS + cls.OPTIONAL if name in arrays]
        return cls(**{name: torch.from_numpy(arrays[name]) for name in known}, metadata=metadata)
