"""The MinMax attack (Algorithm 1) on many samples at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from uae import limits
from uae.attacks.constrained import ConstrainedAttack
from uae.attacks.problem import Incumbents, Problem


@dataclass(frozen=True)
class MinMaxAttack(ConstrainedAttack):
    """min over delta, max over c >= 0 of c * f+(x + delta) + similarity(x, x + delta).

    With the loss of an unsupervised model the result is a MINE-UAE, with `mi=None` the L2-UAE
    baseline of section 5.4, with `maximize_mi` and `uae.losses.Margin` a supervised example.

    beta: step of c.  decay_power: c is multiplied by 1 - beta / t**decay_power (1/4 in Algorithm 1).
    The other settings are those of `ConstrainedAttack`.
    """

    beta: float = 0.1
    decay_power: float = 0.25

    def __post_init__(self) -> None:
        super().__post_init__()
        limits.check_numbers(self, "beta", "decay_power", zero=True)

    @classmethod
    def released(cls, **changes: Any) -> MinMaxAttack:
        """The settings of the authors' code where it differs from the paper. Use them with a squared loss.

        >>> MinMaxAttack.released(steps=20).init
        'noise'
        """
        preset: dict[str, Any] = {"c0": 1e-3, "init": "noise", "on_failure": "best", "mi_floor": 0.0}
        return cls(**preset | changes)

    def _search(self, problem: Problem, kept: Incumbents) -> None:
        delta = problem.start()
        c = problem.clean.new_full((len(delta),), self.c0)
        point = problem(delta)
        along = []
        for t in range(1, self.steps + 1):
            if kept.trace is not None:
                along.append(problem.stationarity(delta, c, point))
            delta = problem.descend(delta, c, point)
            point = problem(delta)
            c = ((1 - self.beta / t**self.decay_power) * c + self.beta * point.f.clamp(min=0)).clamp(min=0)
            kept.offer(t, delta, point)
        kept.stationarity = torch.stack(along, 1) if along else None
