"""Algorithms 1 and 2 as one would write them first: one sample, autograd, torch.optim.Adam.

For reading, and for the fast path to agree with. Shares with it the random numbers and nothing else.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from uae import seeding
from uae.models.autoencoders import Autoencoder


class Vanilla(nn.Module):
    def __init__(self, dim: int, hidden: int):
        super().__init__()
        self.sides = nn.ModuleList([nn.Linear(dim, hidden), nn.Linear(dim, hidden)])
        self.out = nn.Linear(hidden, 1)

    def layers(self) -> list[tuple[nn.Module, nn.Module]]:
        return [(self.sides[0], self.sides[1])]

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        return self.out(torch.relu(self.sides[0](x) + self.sides[1](z)))[:, 0]


class Released(nn.Module):
    def __init__(self, dim: int, hidden: int, map_shape: tuple[int, int] | None):
        super().__init__()
        self.map_shape = map_shape

        def side() -> nn.Sequential:
            if map_shape is None:
                return nn.Sequential(nn.Linear(dim, 512), nn.Linear(512, hidden))
            size = 16 * (map_shape[0] - 1) * (map_shape[1] - 1)
            return nn.Sequential(
                nn.Conv2d(1, 16, 2), ChannelsLastFlatten(), nn.Linear(size, 512), nn.Linear(512, hidden)
            )

        self.sides = nn.ModuleList([side(), side()])
        self.out = nn.Linear(hidden, 1, bias=False)

    def layers(self) -> list[tuple[nn.Module, nn.Module]]:
        pairs = zip(*self.sides, strict=True)
        return [(a, b) for a, b in pairs if hasattr(a, "weight")]

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        if self.map_shape is not None:
            x, z = (t.unflatten(1, (1, *self.map_shape)) for t in (x, z))
        return self.out(torch.relu(self.sides[0](x) + self.sides[1](z)))[:, 0]


class ChannelsLastFlatten(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.permute(0, 2, 3, 1).flatten(1)


def critic(
    kind: str, dim: int, map_shape, hidden: int, seed: int, index: Tensor, dtype: torch.dtype
) -> nn.Module:
    """A critic with Glorot weights from the sample's own random stream."""
    model = (Vanilla(dim, hidden) if kind == "vanilla" else Released(dim, hidden, map_shape)).to(dtype)
    with torch.no_grad():
        for number, pair in enumerate(model.layers()):
            for side, layer in zip("xz", pair, strict=True):
                fan_in, fan_out = nn.init._calculate_fan_in_and_fan_out(layer.weight)
                limit = math.sqrt(6 / (fan_in + fan_out))
                draw = seeding.uniform(
                    seed,
                    index,
                    f"critic/{number}/{side}",
                    (layer.weight.flatten(1).shape),
                    limit,
                    torch.float64,
                )
                layer.weight.copy_(draw.view_as(layer.weight))
                layer.bias.zero_()
        limit = math.sqrt(6 / (hidden + 1))
        model.out.weight.copy_(seeding.uniform(seed, index, "critic/out", (hidden,), limit, torch.float64))
        if model.out.bias is not None:
            model.out.bias.zero_()
    return model


class PerSampleMINE:
    """Algorithm 2 with a critic that lives as long as the attack."""

    def __init__(self, kind, map_shape, dim, count, hidden, lr, inner_steps, seed, index, dtype):
        self.critic = critic(kind, dim, map_shape, hidden, seed, index, dtype)
        self.adam = torch.optim.Adam(self.critic.parameters(), lr=lr)
        self.inner_steps, self.count, self.seed, self.index, self.calls = inner_steps, count, seed, index, 0

    def bound(self, x: Tensor, z: Tensor, permutation: Tensor) -> Tensor:
        joint = self.critic(x, z).mean()
        return joint - (torch.logsumexp(self.critic(x, z[permutation]), 0) - math.log(self.count))

    def __call__(self, x: Tensor, z: Tensor) -> Tensor:
        permutations = seeding.permutations(
            self.seed, self.index, f"permutation/{self.calls}", self.inner_steps + 1, self.count
        )[0]
        self.calls += 1
        for permutation in permutations[:-1]:
            self.adam.zero_grad()
            (-self.bound(x.detach(), z.detach(), permutation)).backward()
            self.adam.step()
        return self.bound(x, z, permutations[-1])


def convolution_output(model: Autoencoder, activation: bool = False):
    """The first convolution's feature maps, (K, D), by hand."""

    def features(x: Tensor, step: int) -> Tensor:
        layer = model.encoder[0]
        out = nn.functional.conv2d(x, layer.weight, layer.bias, padding="same")[0].flatten(1)
        return torch.relu(out) if activation else out

    return features


def random_sampling(count, dim, power, seed, standardize=False, redraw=False):
    """x_k = M_k x, a matrix at a time."""

    def features(x: Tensor, step: int) -> Tensor:
        generator = torch.Generator().manual_seed(seeding.derive(seed, "random-sampling/0"))
        rows = []
        for k in range(count):
            if redraw:
                drawn = seeding.gaussian(
                    seed, torch.tensor([k]), f"random-sampling/{step}", dim * x.numel()
                ).view(dim, -1)
            else:
                drawn = torch.randn(dim, x.numel(), generator=generator, dtype=x.dtype)
            matrix = drawn.to(x.dtype) * dim**-power
            row = matrix @ x.flatten()
            rows.append((row - row.mean()) / row.std(correction=0) if standardize else row)
        return torch.stack(rows)

    return features


def minmax(
    model: Autoencoder,
    features,
    x: Tensor,
    *,
    kind: str | None,
    map_shape=None,
    init: str = "zeros",
    steps: int,
    inner_steps: int = 1,
    lr: float = 1e-3,
    seed: int = 0,
    index: int = 0,
    alpha: float = 0.01,
    beta: float = 0.1,
    eps: float = 1.0,
    hidden: int = 10,
    c0: float = 0.0,
    squared: bool = False,
    mi_floor: float | None = None,
    on_failure: str = "original",
) -> tuple[Tensor, float, bool]:
    """Algorithm 1 on one sample x (1, *shape): the kept delta, the best objective, success.

    Minimises the mutual information, or with `kind=None` the negative loss (L2-UAE).
    """
    index = torch.tensor([index])
    if kind is not None:
        count, dim = features(x, 0).shape
        mine = PerSampleMINE(kind, map_shape, dim, count, hidden, lr, inner_steps, seed, index, x.dtype)

    def loss(x_adv: Tensor) -> Tensor:
        norm = (x - model(x_adv)).norm()
        return norm**2 if squared else norm

    def criterion(x_adv: Tensor) -> Tensor:
        return loss(x_adv) - loss(x)

    def similarity(x_adv: Tensor, step: int) -> Tensor:
        if kind is None:
            return -loss(x_adv)
        return mine(features(x, step).detach(), features(x_adv, step))

    def project(delta: Tensor) -> Tensor:
        return torch.clamp(x + torch.clamp(delta, -eps, eps), 0, 1) - x

    delta = torch.zeros_like(x)
    if init == "noise":
        channels, height, width = x.shape[1:]
        limit = math.sqrt(6 / (height * (width + channels)))
        delta = project(seeding.uniform(seed, index, "delta", tuple(x.shape[1:]), limit, x.dtype))
    c, best, kept, found = c0, math.inf, torch.zeros_like(x), False
    smallest, success = math.inf, False

    delta.requires_grad_()
    value = similarity(x + delta, 0)
    for t in range(1, steps + 1):
        (grad,) = torch.autograd.grad(c * torch.relu(criterion(x + delta)) + value, delta)
        delta = project(delta.detach() - alpha * grad).requires_grad_()
        value = similarity(x + delta, t)
        f = criterion(x + delta).item()
        c = max((1 - beta / t**0.25) * c + beta * max(f, 0), 0)
        if f <= 0 and value.item() < best and (mi_floor is None or kind is None or value.item() > mi_floor):
            best, kept, found, success = value.item(), delta.detach(), True, True
        elif on_failure == "best" and not found and f < smallest:
            smallest, kept, success = f, delta.detach(), f <= 0
    return kept, best, success
