"""The settings that all attacks with a criterion share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from uae import limits
from uae.attacks import checks
from uae.mine import MINE


@dataclass(frozen=True)
class Settings:
    """Descent on c * f+(x + delta) + similarity(x, x + delta), with f <= 0 where the attack succeeds.

    For an unsupervised model the similarity is the per-sample mutual information, which is minimised;
    f = loss(x_adv, x) - loss(x, x) + kappa. For a supervised one, `maximize_mi` flips its sign and
    f is the classifier's margin plus kappa. With `mi=None` the loss itself is maximised.

    eps: bound on |delta| per feature.  steps: T.  alpha: step of delta.
    kappa: margin of the criterion.  c0: initial value of c.
    init: `zeros` (Algorithm 1) or `noise` (the released code: Glorot-uniform).
    keep: which success to keep, the `best` (smallest similarity) or the `last`.
    on_failure: a failed sample is returned as the `original` (section 5.1) or as the `best` iterate, with the
        smallest f (the released code): altered, although it is no example.
    mi_floor: an iterate with an MI at or below it does not count as the best (the released code: 0).
    bounds: the range of the data. Examples keep it and eps to within the rounding of their dtype.
    batch_size: samples at a time; None fits them to the device. Results depend on it by
        the rounding of the device alone.

    On a CPU each of PyTorch's threads attacks another batch, with a deep copy of the loss, if the loss is
    `threaded` (`uae.losses`).
    """

    eps: float = 1.0
    steps: int = 40
    alpha: float = 0.01
    kappa: float = 0.0
    mi: MINE | None = field(default_factory=MINE)
    maximize_mi: bool = False
    c0: float = 0.0
    init: Literal["zeros", "noise"] = "zeros"
    keep: Literal["best", "last"] = "best"
    on_failure: Literal["original", "best"] = "original"
    mi_floor: float | None = None
    bounds: tuple[float, float] = (0.0, 1.0)
    batch_size: int | None = None

    def __post_init__(self) -> None:
        limits.check_counts(self, "steps")
        limits.check_numbers(self, "eps", "alpha")
        limits.check_numbers(self, "kappa", "c0", zero=True)
        if not isinstance(self.mi, MINE | None):
            raise ValueError(
                f"mi must be uae.MINE(...) or None, got {self.mi!r}; a sampler is MINE's: samples="
            )
        if self.maximize_mi and self.mi is None:
            raise ValueError("maximize_mi needs mi, the mutual information that it maximises")
        for name, known in (
            ("init", ("zeros", "noise")),
            ("keep", ("best", "last")),
            ("on_failure", ("original", "best")),
        ):
            if getattr(self, name) not in known:
                raise ValueError(f"{name}: {getattr(self, name)!r} is not one of {', '.join(known)}")
        checks.check_settings(self.bounds, self.batch_size)

    @property
    def total_steps(self) -> int:
        return self.steps
