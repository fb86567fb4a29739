"""What an attack returns: the UAE set of the design, in memory and as a file."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from uae import storage


@dataclass
class AttackResult:
    """Adversarial examples of N samples.

    adv: (N, *shape), in the attack's bounds: the kept iterate, or the original where none was kept.
    success: (N,) bool, whether an iterate was kept and f <= 0 at it.
    mi: (N,) mutual information in nats at the kept iterate; NaN where there is none.
    loss, loss_clean: (N,) the loss at `adv` and at the original.
    step: (N,) int64, the attack step of the kept iterate, from 1; 0 where there is none.
    index: (N,) the samples' indices in their data set.
    """

    adv: Tensor
    success: Tensor
    mi: Tensor
    loss: Tensor
    loss_clean: Tensor
    step: Tensor
    index: Tensor
    metadata: dict[str, Any] = field(default_factory=dict)

    TENSORS = ("adv", "success", "mi", "loss", "loss_clean", "step", "index")

    def __len__(self) -> int:
        return len(self.adv)

    @property
    def success_rate(self) -> float:
        """The attack success rate (ASR), in [0, 1]."""
        return self.success.double().mean().item()

    @classmethod
    def concatenate(cls, parts: list[AttackResult], metadata: dict[str, Any]) -> AttackResult:
        tensors = {name: torch.cat([getattr(part, name) for part in parts]) for name in cls.TENSORS}
        return cls(**tensors, metadata=metadata)

    def save(self, path: str | Path) -> None:
        """Write a safetensors file, whole or not at all."""
        arrays = {name: getattr(self, name).cpu() for name in self.TENSORS}
        arrays = {k: (t.float() if t.is_floating_point() else t).numpy() for k, t in arrays.items()}
        storage.write_tensors(path, arrays, self.metadata)

    @classmethod
    def load(cls, path: str | Path) -> AttackResult:
        """Read what `save` wrote; raises `BadFile` naming the file and what it lacks."""
        arrays, metadata = storage.read_tensors(path, *cls.TENSORS)
        return cls(**{name: torch.from_numpy(arrays[name]) for name in cls.TENSORS}, metadata=metadata)
