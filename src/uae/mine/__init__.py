"""Per-sample MINE: mutual information between one sample and its perturbed copy.

Section 3.1 and appendix A of the paper. A sample is turned into K compressed samples (see
`uae.sampling`), and one small critic per sample is trained on the Donsker-Varadhan bound

    I(x, z) = mean_k T(x_k, z_k) - log mean_k exp T(x_k, z_(k)),

where (k) is a random permutation (Algorithm 2). Critics keep their weights and optimiser states
from one attack step to the next, and thousands of them train at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from uae import limits, seeding
from uae.mine import engines
from uae.mine.critics import Critics, build_layers
from uae.sampling import ConvolutionOutput, RandomSampling


@dataclass(frozen=True)
class MINE:
    """Settings of the per-sample estimator.

    critic: `vanilla` (the paper: one linear layer per side to `hidden` units, sum, ReLU, linear to 1)
        or `released` (the authors' code: convolution or 512 units before that).
    inner_steps: critic steps for each attack step, T_I of Algorithm 2.
    lr: learning rate of the critic's Adam; the default is the released code's.
    samples: how a sample becomes K compressed samples. None: the output of the model's first
        convolution if it has one, otherwise random sampling, as section 3.1 advises. A function
        maps samples (N, *shape) to (N, K, D), differentiably and each sample by itself.
    warm_up: after this number of evaluations the critic is frozen, and the estimate uses one permutation. It
        is then a function of the sample alone, as Theorem 1 assumes. None: the critic always trains.
    one_permutation: every evaluation uses the permutations of the first. The estimate then changes by the
        critic's training and by z alone, and not from one permutation to the next.
    engine: `auto` takes the fastest of `uae.mine.engines` for the device; `portable` forces batched
        products. All give the same numbers.

    >>> x = torch.rand(3, 16, 64, generator=torch.Generator().manual_seed(0))
    >>> MINE(inner_steps=200, lr=1e-2)(x, x).shape
    torch.Size([3])
    """

    critic: Literal["vanilla", "released"] = "vanilla"
    inner_steps: int = 20
    lr: float = 1.5e-5
    hidden: int = 10
    samples: ConvolutionOutput | RandomSampling | Callable[[Tensor], Tensor] | None = None
    warm_up: int | None = None
    one_permutation: bool = False
    engine: Literal["auto", "portable"] = "auto"

    def __post_init__(self) -> None:
        if self.critic not in ("vanilla", "released"):
            raise ValueError(f"critic: {self.critic!r} is not one of 'vanilla', 'released'")
        if self.engine not in ("auto", "portable"):
            raise ValueError(f"engine: {self.engine!r} is not one of 'auto', 'portable'")
        limits.check_counts(self, "inner_steps", "hidden")
        limits.check_numbers(self, "lr")
        if self.warm_up is not None and not limits.is_count(self.warm_up):
            raise ValueError(
                f"warm_up must be at least 1 evaluation, a whole number, or None; got {self.warm_up!r}"
            )
        if self.samples is not None and not hasattr(self.samples, "bind") and not callable(self.samples):
            raise ValueError(
                f"samples: {self.samples!r} is not one of ConvolutionOutput('layer'), RandomSampling(), or a "
                "function from samples (N, ...) to (N, K, D)"
            )

    def __call__(self, x: Tensor, z: Tensor, seed: int = 0, index: Tensor | None = None) -> Tensor:
        """Mutual information in nats, (N,), of N pairs of compressed samples x and z, both (N, K, D).

        It carries no gradient. An attack takes the critics' gradient from `Estimator.estimate`.

        Raises ValueError for other shapes, for an index that is not (N,) integers, and for a seed that is not
        an integer.
        """
        for samples in (x, z):
            if not isinstance(samples, Tensor):
                raise ValueError(f"compressed samples are a {type(samples).__name__}: need a torch.Tensor")
        if x.ndim != 3 or not x.is_floating_point():
            raise ValueError(f"compressed samples are floats (N, K, D); got {x.dtype}, {tuple(x.shape)}")
        index = torch.arange(len(x)) if index is None else seeding.integers(index)
        return Estimator(self, x, None, seed, index.to(x.device)).estimate(x, z)[0]

    def state_bytes(self, dim: int, map_shape: tuple[int, int] | None, itemsize: int) -> int:
        """The bytes of one sample's critic and its two moments."""
        layers = build_layers(self.critic, dim, map_shape, self.hidden)
        weights = sum(torch.Size(s).numel() for layer in layers for s in layer.shapes().values())
        return 3 * (2 * weights + self.hidden) * itemsize


class Estimator:
    """The critics of one batch of samples during an attack.

    standardize: each compressed sample gets mean 0 and variance 1 before a critic sees it.
    """

    def __init__(
        self,
        mine: MINE,
        x: Tensor,
        map_shape: tuple[int, int] | None,
        seed: int,
        index: Tensor,
        standardize: bool = False,
    ):
        self.shape, index = x.shape, seeding.integers(index)
        _, self.count, dim = x.shape
        # The compiled engines do not check where they read.
        if index.shape != x.shape[:1]:
            raise ValueError(
                f"index has shape {tuple(index.shape)}: need one index for each of {len(x)} samples"
            )
        if self.count < 2:
            raise ValueError(
                f"per-sample MINE needs K >= 2 compressed samples, got K = {self.count}: with one, "
                "the marginal is the joint and the estimate is always 0. Take uae.RandomSampling() or "
                "another layer, uae.ConvolutionOutput('name')"
            )
        self.mine, self.seed, self.index, self.calls = mine, seed, index, 0
        # Half precision is too coarse: Adam's second moments are below the smallest float16.
        self.dtype = torch.promote_types(x.dtype, torch.float32)
        layers = build_layers(mine.critic, dim, map_shape, mine.hidden)
        self.critics = Critics(layers, mine.hidden, mine.lr, seed, index, self.dtype)
        if mine.engine == "portable":
            self.engine = engines.portable.Engine(self.critics, standardize)
        else:
            self.engine = engines.choose(self.critics, x.device, self.count, standardize)

    def estimate(self, x: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """Train `inner_steps` steps on (x, z), both (N, K, D); none after the warm-up. Returns the bound (N,)
        and its gradient by z."""
        for samples in (x, z):
            if samples.shape != self.shape:
                raise ValueError(
                    f"compressed samples have shape {tuple(samples.shape)}: these critics are for "
                    f"{tuple(self.shape)}"
                )
        frozen = self.mine.warm_up is not None and self.calls >= self.mine.warm_up
        call, steps = (self.mine.warm_up, 0) if frozen else (self.calls, self.mine.inner_steps)
        drawn = f"permutation/{0 if self.mine.one_permutation else call}"
        perms = self.engine.permutations(self.seed, self.index, drawn, steps + 1, self.count)
        self.calls += 1
        # Triton launches on the current device; critics train in their own precision, not in autocast's.
        with torch.cuda.device_of(z), torch.autocast(z.device.type, enabled=False):
            value, grad = self.engine.train(x.detach().to(self.dtype), z.detach().to(self.dtype), perms)
        return value.to(x.dtype), grad.to(x.dtype)
