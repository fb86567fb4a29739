"""Augmented training sets: the N originals and further samples made from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import uae
from uae import seeding, storage
from uae.attacks import AttackResult


def gaussian(x: Tensor, sigma: float, seed: int, draw: int = 0) -> Tensor:
    """x (N, *shape) plus zero-mean Gaussian noise of standard deviation sigma (GA, section 5.4).

    The noise is not clipped to the data's range, because clipping would give it a nonzero mean. Each draw
    is one independent noise sample.
    """
    index = torch.arange(len(x), device=x.device)
    return x + sigma * seeding.normal(seed, index, f"gaussian/{draw}", tuple(x.shape[1:]), x.dtype)


def augmented(x: Tensor, *extras: Tensor) -> Tensor:
    """The originals and N extra samples per round, ((1 + rounds) * N, *shape).

    If the extra samples are the originals, this is the compute-matched control: training takes as many
    gradient steps as on any other augmented set, but sees no new sample.
    """
    for extra in extras:
        if extra.shape != x.shape:
            raise ValueError(f"augmentation has shape {tuple(extra.shape)}, the originals {tuple(x.shape)}")
    return torch.cat([x, *(extra.to(x) for extra in extras)])


@dataclass(frozen=True, repr=False, eq=False)
class Augmented:
    """A training set of N originals and K more samples, with its compute-matched control; see `augment`.

    x: (N + K, *shape), the originals in their order, then the others in the order of their originals.
    source: (N + K,) int64, the row of the original that each sample comes from; first 0..N-1. With `labels`
        of the originals, `labels[source]` are the labels of the set.
    is_uae: (N + K,) bool, whether a sample is an adversarial example.
    result: the attack on the N originals.
    """

    x: Tensor
    source: Tensor
    is_uae: Tensor
    result: AttackResult

    def __repr__(self) -> str:
        count = int(self.is_uae.sum())
        return f"Augmented({len(self.x)} samples, {count} of them examples of {self.result!r})"

    @property
    def control(self) -> Tensor:
        """(N + K, *shape), the same set with each example replaced by its original.

        Training on it takes as many gradient steps as on `x`, with the same batch size and epochs. An
        augmentation that helps must beat this control, not only the model that was attacked.
        """
        return self.x[self.source]

    def save(self, path: str | Path, **more: Tensor) -> None:
        """Write a safetensors file with `x`, `control`, `source` and `is_uae`, whole or not at all.

        Floats of any type become float32.
        more: additional tensors by name, such as labels.
        """
        tensors = {"x": self.x, "control": self.control, "source": self.source, "is_uae": self.is_uae} | more
        cpu = {name: tensor.detach().cpu() for name, tensor in tensors.items()}
        arrays = {k: (t.float() if t.is_floating_point() else t).numpy() for k, t in cpu.items()}
        storage.write_tensors(path, arrays, self.result.metadata)


def augment(
    model: nn.Module | Callable[[Tensor, Tensor], Tensor],
    x: Tensor,
    attack: Callable[..., AttackResult] | None = None,
    *,
    replicate: bool = False,
    **options: Any,
) -> Augmented:
    """Attack a model on its training data and add the successful examples to the data (section 5.1).

    model: an autoencoder, (N, *shape) -> (N, *shape), whose reconstruction error must not rise; or a loss
        (x_adv, x) -> (N,), such as `uae.losses.Contrastive(encoder)`.
    x: (N, *shape), the originals, floats within the attack's bounds.
    attack: `uae.MinMaxAttack()`, the paper's settings, unless given.
    replicate: where the attack fails, add the original again, as the paper does: K is N. Otherwise K is the
        number of successes.
    options: keywords of the attack's call: `seed`, `index`, `progress`, `resume`, `tag`.

    Raises ValueError naming the sample if the attack does: for values out of bounds or not finite, a model
    in training mode, a loss of the wrong shape or one that depends on other samples.

    >>> import torch, uae
    >>> model = torch.nn.Linear(4, 4).eval()
    >>> found = uae.augment(model, torch.rand(8, 4), uae.MinMaxAttack(steps=2, mi=None), seed=0)
    >>> found.x.shape == found.control.shape
    True
    """
    if isinstance(attack, type):
        raise ValueError(f"attack is a class: give its settings, such as {attack.__name__}(steps=40)")
    loss = uae.losses.Reconstruction(model) if isinstance(model, nn.Module) else model
    # Through `uae`, as a user imports it: trainings use this module and must not depend on the attacks' code.
    result = (attack or uae.MinMaxAttack())(loss, x, **options)
    return of_attack(x, result, replicate)


def of_attack(x: Tensor, result: AttackResult, replicate: bool = False) -> Augmented:
    """The augmented set of originals x (N, *shape) and an attack's result on them; see `augment`.

    Raises ValueError if the result belongs to other samples.
    """
    if result.adv.shape != x.shape:
        raise ValueError(f"the attack has shape {tuple(result.adv.shape)}, the originals {tuple(x.shape)}")
    x, success = x.detach(), result.success.to(x.device)
    kept = torch.arange(len(x), device=x.device)
    added = kept if replicate else kept[success]
    source = torch.cat([kept, added])
    is_uae = torch.cat([torch.zeros_like(success), success[added]])
    # With on_failure="best" a failure is altered, too. It is not an example, so its original replaces it.
    found = torch.where(is_uae.view(-1, *[1] * (x.dim() - 1)), result.adv.to(x)[source], x[source])
    return Augmented(found, source, is_uae, result)
