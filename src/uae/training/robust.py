"""Adversarial training of a classifier: Madry's and TRADES' objectives, one loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Unpack

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from uae import seeding
from uae.contrastive import autocast
from uae.training import loop
from uae.training.graphs import Graphed, rate, set_rate
from uae.training.optimizers import SGD, Adam


@dataclass(frozen=True)
class Adversary:
    """The inner maximisation: signed gradient steps in the L-infinity ball, without synchronisation.

    eps, step_size: in units of the data, which are in [0, 1]. Within a graph they are 0-dimensional tensors.
    steps: gradient steps.
    beta: TRADES' weight of the robust term, 1 / lambda in its paper.
    """

    eps: float | Tensor
    steps: int
    step_size: float | Tensor
    beta: float = 6.0

    def grown(self, share: float | Tensor) -> Adversary:
        """The adversary with a share of its ball and step size."""
        return replace(self, eps=share * self.eps, step_size=share * self.step_size)

    def ascend(self, loss: Callable[[Tensor], Tensor], x: Tensor, start: Tensor) -> Tensor:
        """The point after `steps` steps up `loss`, a scalar, from `start` (N, *shape), around x."""
        low, high = (x - self.eps).clamp(0, 1), (x + self.eps).clamp(0, 1)
        x_adv = start.clamp(low, high)
        for _ in range(self.steps):
            x_adv.requires_grad_()
            (grad,) = torch.autograd.grad(loss(x_adv), x_adv)
            x_adv = (x_adv.detach() + self.step_size * grad.sign()).clamp(low, high)
        return x_adv


def madry(model: nn.Module, x: Tensor, y: Tensor, adversary: Adversary, noise: Tensor) -> Tensor:
    """The cross-entropy at the adversary's samples, from a uniform start in the ball (Madry et al. 2018).

    noise: uniform in [-1, 1), with x's shape.
    The attack uses the model in eval mode, because dropout would blur its gradients.
    """
    model.eval()
    start = x + adversary.eps * noise
    x_adv = adversary.ascend(lambda a: F.cross_entropy(model(a), y, reduction="sum"), x, start)
    model.train()
    return F.cross_entropy(model(x_adv), y)


def trades(model: nn.Module, x: Tensor, y: Tensor, adversary: Adversary, noise: Tensor) -> Tensor:
    """Clean cross-entropy + beta KL(model(x) || model(x_adv)), largest in x_adv (Zhang et al. 2019, eq. 5).

    noise: standard normal, with x's shape.
    The start is x plus normal noise of standard deviation 0.001, and the attack uses the model in eval mode,
    as in the authors' code.
    """
    model.eval()
    # Not under `no_grad`: autocast would cache weights without a gradient for the rest of the step.
    target = F.softmax(model(x), dim=1).detach()

    def divergence(a: Tensor) -> Tensor:
        return F.kl_div(F.log_softmax(model(a), dim=1), target, reduction="sum")

    x_adv = adversary.ascend(divergence, x, x + 0.001 * noise)
    model.train()
    out = model(x)
    robust = F.kl_div(F.log_softmax(model(x_adv), dim=1), F.softmax(out, dim=1), reduction="batchmean")
    return F.cross_entropy(out, y) + adversary.beta * robust


def ball_share(done: int, steps: int) -> float:
    """The adversary's share of its ball after `done` of the `steps` training steps over which it grows."""
    return min(1.0, (done + 1) / steps) if steps else 1.0


Objective = Callable[[nn.Module, Tensor, Tensor, Adversary, Tensor], Tensor]
# By objective, the loss and the generator of its noise
OBJECTIVES: dict[str, tuple[Objective, Callable[..., Tensor]]] = {
    "madry": (madry, seeding.uniform),
    "trades": (trades, seeding.normal),
}

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": lambda p, lr, momentum, decay: Adam(
        p, lr=lr, weight_decay=decay, fused=True, capturable=isinstance(lr, Tensor)
    ),
    "sgd": lambda p, lr, momentum, decay: SGD(p, lr=lr, momentum=momentum, weight_decay=decay, fused=True),
}


def crop_flip(x: Tensor, random: Tensor, padding: int = 4) -> Tensor:
    """CIFAR-10's augmentation: pad each image with zeros, crop it at a random position, mirror it or not.

    x: (N, C, H, W).  random: (N, 3) int64; they choose row, column and mirror image.
    """
    count, channels, height, width = x.shape
    offsets = random[:, :2].remainder(2 * padding + 1)
    rows = offsets[:, :1] + torch.arange(height, device=x.device)
    columns = offsets[:, 1:] + torch.arange(width, device=x.device)
    columns = torch.where(random[:, 2:].remainder(2).bool(), columns.flip(1), columns)
    samples = torch.arange(count, device=x.device).view(-1, 1, 1, 1)
    planes = torch.arange(channels, device=x.device).view(1, -1, 1, 1)
    return F.pad(x, (padding,) * 4)[samples, planes, rows[:, None, :, None], columns[:, None, None, :]]


AUGMENTATIONS: dict[str, Callable[[Tensor, Tensor], Tensor] | None] = {"none": None, "crop-flip": crop_flip}


def fit(
    model: nn.Module,
    x: Tensor,
    target: Tensor,
    *,
    objective: str,
    adversary: Adversary,
    optimizer: str,
    lr: float,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    milestones: Sequence[int] = (),
    augmentation: str = "none",
    warmup: int = 0,
    **options: Unpack[loop.Options],
) -> list[float]:
    """Train a classifier in place on x (N, *shape) in [0, 1] and its labels (N,), `target`.

    Returns the mean loss of each epoch.

    objective: `madry` or `trades`.
    milestones: numbers of finished epochs after which the learning rate is divided by ten.
    augmentation: `none` or `crop-flip`.
    warmup: epochs over which eps and the step size grow from 0 to the adversary's. The published settings
        have none, but without it small networks and short trainings stay at a constant output.
    On a GPU with native bfloat16 the networks run in it (its range needs no scaling of the loss); weights,
    losses and steps stay float32.
    Raises ValueError if the numbers of labels and samples differ, or naming a sample whose label has no
    logit, and Diverged, naming epoch and step, if the loss is not finite. The last good state stays in
    `resume`.
    """
    y = target
    if len(x) != len(y):
        raise ValueError(f"{len(x)} samples and {len(y)} labels")
    with torch.no_grad():
        loop.check_labels(y, model.eval()(x[:1]).shape[1])
    (loss_of, noise), augment = OBJECTIVES[objective], AUGMENTATIONS[augmentation]
    stepper = OPTIMIZERS[optimizer](model.parameters(), rate(lr, x.device), momentum, weight_decay)
    layout = torch.channels_last if x.ndim == 4 else torch.contiguous_format
    seed = options["seed"]
    per_epoch = loop.steps_per_epoch(len(x), options["batch_size"], options.get("drop_last", False))

    @Graphed
    def update(
        batch: Tensor, labels: Tensor, start: Tensor, share: float | Tensor, current: float | Tensor
    ) -> Tensor:
        set_rate(stepper, current)
        with autocast(x.device):
            value = loss_of(model, batch, labels, adversary.grown(share), start)
        stepper.zero_grad(set_to_none=True)
        value.backward()
        stepper.step()
        return value.detach()

    def step(rows: Tensor, _: Tensor, number: int) -> Tensor:
        epoch = number // per_epoch
        batch = x[rows]
        if augment is not None:
            batch = augment(batch, seeding.bits(seed, rows, f"augmentation/{epoch}", (3,)))
        batch = batch.contiguous(memory_format=layout)
        start = noise(seed, rows, f"start/{epoch}", tuple(batch.shape[1:]), dtype=batch.dtype)
        current = lr * 0.1 ** sum(epoch >= milestone for milestone in milestones)
        return update(batch, y[rows], start, ball_share(number, warmup * per_epoch), current)

    # The loop shuffles and splits sample indices, because labels and random numbers depend on them.
    return loop.run(model, [stepper], step, torch.arange(len(x), device=x.device), **options)
