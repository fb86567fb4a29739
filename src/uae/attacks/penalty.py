"""The penalty attack (Algorithm 3): c is fixed within a search, and a binary search per sample finds it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from uae import limits
from uae.attacks.constrained import ConstrainedAttack
from uae.attacks.problem import Incumbents, Problem


@dataclass(frozen=True)
class PenaltyAttack(ConstrainedAttack):
    """The baseline of section 5.2: `searches` searches of `steps` steps, all samples at once.

    c0, lower, upper: the first c and the first bounds of the search. Later ones differ by sample.
    restart_critic: each search starts with the first critic and the first delta (the authors' code).
        Otherwise all searches share one critic. Algorithm 3 can be read that way, too: its loop initialises
        no critic.
    The other settings are those of `ConstrainedAttack`.

    A search counts as a success if one of its iterates is a success, as in the method of Carlini and
    Wagner that appendix C follows. (Algorithm 3 tests the best iterate of all searches instead: after
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
        limits.check_counts(self, "searches")
        limits.check_numbers(self, "lower", "upper")
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
    """The next c and its bounds, all (N,). c grows tenfold until one has succeeded; then it is bisected.

    >>> c, lower, upper = torch.tensor([[1.0, 1.0], [0.1, 0.1], [1e9, 1e9]])
    >>> [round(v, 3) for v in bisect(c, lower, upper, torch.tensor([True, False]), 1e9)[0].tolist()]
    [0.55, 10.0]
    """
    upper = torch.where(success, torch.minimum(upper, c), upper)
    lower = torch.where(success, lower, torch.maximum(lower, c))
    c = torch.where(upper < unbounded, (lower + upper) / 2, torch.where(success, c, c * 10))
    return c, lower, upper
