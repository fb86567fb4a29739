"""The penalty attack (Algorithm 3): a fixed c at a time, found by a binary search for each sample."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from uae.attacks import checks
from uae.attacks.constrained import ConstrainedAttack
from uae.attacks.problem import Incumbents, Problem


@dataclass(frozen=True)
class PenaltyAttack(ConstrainedAttack):
    """The baseline of section 5.2: `searches` searches of `steps` steps, all samples at once.

    c0, lower, upper: the first c and the bounds of the search, which then differ by sample.
    restart_critic: each search starts with the first critic, as it starts with the first delta (the authors'
        code). Otherwise the critic is kept through all searches, which is another reading of Algorithm 3: it
        initialises nothing within its loop.
    The other settings are those of `ConstrainedAttack`.

    A search counts as a success if one of its iterates is a success, as in the method of Carlini and
    Wagner that appendix C follows. (Algorithm 3 asks this of the best iterate of all searches: after
    the first success c could only fall.)
    """

    steps: int = 1000
    c0: float = 1e-3
    searches: int = 9
    lower: float = 1e-3
    upper: float = 1e9
    restart_critic: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.check_counts(self, "searches")
        if not 0 < self.lower <= self.c0 < self.upper:
            raise ValueError(f"need 0 < lower <= c0 < upper, got {self.lower}, {self.c0}, {self.upper}")

    @property
    def total_steps(self) -> int:
        return self.searches * self.steps

    def _search(self, problem: Problem, kept: Incumbents) -> None:
        c, lower, upper = (
            problem.clean.new_full((len(problem.x),), value) for value in (self.c0, self.lower, self.upper)
        )
        for search in range(self.searches):
            if search and self.restart_critic:
                problem.restart()
            delta = problem.start()
            point = problem(delta)
            success = torch.zeros_like(problem.eligible)
            for t in range(1, self.steps + 1):
                delta = problem.descend(delta, c, point)
                point = problem(delta)
                kept.offer(search * self.steps + t, delta, point)
                success |= point.f <= 0
            c, lower, upper = bisect(c, lower, upper, success, self.upper)


def bisect(
    c: Tensor, lower: Tensor, upper: Tensor, success: Tensor, unbounded: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The next c and its bounds, all (N,): halved once a c has succeeded, times 10 until then.

    >>> c, lower, upper = torch.tensor([[1.0, 1.0], [0.1, 0.1], [1e9, 1e9]])
    >>> [round(v, 3) for v in bisect(c, lower, upper, torch.tensor([True, False]), 1e9)[0].tolist()]
    [0.55, 10.0]
    """
    upper = torch.where(success, torch.minimum(upper, c), upper)
    lower = torch.where(success, lower, torch.maximum(lower, c))
    c = torch.where(upper < unbounded, (lower + upper) / 2, torch.where(success, c, c * 10))
    return c, lower, upper
