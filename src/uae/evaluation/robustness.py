"""Attack success rates with intervals, and checks that distinguish robustness from masked gradients."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from uae import seeding
from uae.attacks import AttackResult
from uae.intervals import wilson

BATCH = 1000


@dataclass(frozen=True)
class Rate:
    """An attack success rate: `hits` of `count` attacked samples are misclassified within eps.

    loss, loss_error: mean and standard error of the adversarial examples' cross-entropy, in nats.
    low, high: Wilson's 95 % interval of the rate.
    """

    eps: float
    hits: int
    count: int
    loss: float
    loss_error: float
    low: float = field(init=False)
    high: float = field(init=False)

    def __post_init__(self) -> None:
        for name, limit in zip(("low", "high"), wilson(self.hits, self.count), strict=True):
            object.__setattr__(self, name, limit)

    @property
    def value(self) -> float:
        return self.hits / self.count


@torch.no_grad()
def logits(model: nn.Module, x: Tensor) -> Tensor:
    """The model's output for x (N, *shape), a batch at a time: (N, classes)."""
    return torch.cat([model(batch) for batch in x.split(BATCH)])


def accuracy(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """The share of samples x (N, *shape) whose largest logit is the label's, in [0, 1]."""
    return (logits(model, x).argmax(1) == y).double().mean().item()


def attacked(model: nn.Module, x: Tensor, y: Tensor, count: int, seed: int) -> Tensor:
    """Indices of `count` random samples that the model classifies correctly, or of all such samples.

    The order depends on the seed alone. So models are attacked on the same images, except for their errors.
    Raises ValueError if the model classifies no sample correctly.
    """
    right = logits(model, x).argmax(1) == y
    if not right.any():
        raise ValueError(f"the model classifies none of {len(x)} samples correctly: nothing to attack")
    generator = torch.Generator().manual_seed(seeding.derive(seed, "attacked"))
    order = torch.randperm(len(x), generator=generator).to(x.device)
    return order[right[order]][:count]


def rate(model: nn.Module, x_adv: Tensor, y: Tensor, eps: float) -> Rate:
    """The rate at which the model misclassifies x_adv (N, *shape), made from correctly classified samples."""
    out = logits(model, x_adv)
    loss = F.cross_entropy(out.double(), y, reduction="none")
    error = loss.std(correction=0).item() / math.sqrt(len(y))
    return Rate(eps, int((out.argmax(1) != y).sum()), len(y), loss.mean().item(), error)


# An attack at a given eps: (model, x, y, eps) to adversarial examples.
Attack = Callable[[nn.Module, Tensor, Tensor, float], AttackResult]


def curve(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    attack: Attack,
    eps: Sequence[float],
) -> list[Rate]:
    """The attack success rate at each eps, with a new attack for each (Figures 7 to 10).

    x, y: correctly classified samples (see `attacked`). An image that the model already misclassifies is
    never a success.
    """
    return [rate(model, attack(model, x, y, bound).adv, y, bound) for bound in eps]


def flags(
    rates: Sequence[Rate],
    *,
    unbounded: Rate,
    single: Rate,
    restarts: Rate,
    transfer: Rate | None = None,
    white_box: Sequence[Rate] = (),
) -> dict[str, bool]:
    """Signs of masked gradients or of a weak attack (Athalye et al. 2018, section 3.1); True is bad.

    `records.METRICS` explains each of them, under the name flag_<name>.

    rates: white-box PGD at rising eps.  unbounded: PGD at an eps that covers the data's range.
    single, restarts: white-box PGD from one start and from several, at one eps.
    transfer: examples of another model at that eps, of the images that this model classifies correctly. None
    if there are none: the flags then lack `transfer_wins`.  white_box: white-box PGD on the same images.
    Rates and losses count as different if their 95 % intervals are disjoint.
    """
    rates = sorted(rates, key=lambda r: r.eps)
    pairs = [(a, b) for i, a in enumerate(rates) for b in rates[i + 1 :]]
    found = {
        "asr_falls": any(b.high < a.low for a, b in pairs),
        "loss_falls": any(b.loss + 1.96 * b.loss_error < a.loss - 1.96 * a.loss_error for a, b in pairs),
        "unbounded_fails": unbounded.high < 0.99,
        "restarts_matter": restarts.low > single.high,
    }
    if transfer is not None:
        found["transfer_wins"] = transfer.low > max(rate.high for rate in white_box)
    return found
