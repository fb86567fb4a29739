"""Many small critics at once. Each sample trains one critic, so every weight has a leading sample axis.

A critic has two sides: the clean samples x and the perturbed samples z. Linear layers map each side to
`hidden` units, and the score is T(x, z) = w . relu(h_x + h_z). The sides have separate weights, which are
stacked on the first axis: a tensor of weights is (2, N, out, in). `uae.mine.engines` trains the critics.

A layer does not process the K samples. It processes H = `hidden` rows in each direction. Upwards, a row is
the sum of the samples weighted by one unit's gradient. Downwards, a row holds one unit's weights on the
layer's input (`pulled`). The gradient of a layer is the product of the two. For the released critic these
are 10 rows instead of 16 to 500.

The critic has no output bias: the Donsker-Varadhan bound does not depend on it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from uae import seeding

BETA1, BETA2, EPS = 0.9, 0.999, 1e-8  # Adam's usual constants


class Linear:
    """h -> h W^T + b. Its inputs are rows, (2, N, H, in). A row is a weighted sum of samples, and `totals`,
    (2, N, H), are the sums of these weights. Its output is rows W^T + totals b.

    `pulled`, (2, N, H, out), is None at the last layer, whose outputs are the units.
    """

    def __init__(self, size: int, units: int):
        self.size, self.units = size, units

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {"weight": (self.units, self.size), "bias": (self.units,)}

    def forward(self, rows: Tensor, totals: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return rows @ weight.mT + totals[..., None] * bias[..., None, :]

    def weight_gradient(self, rows: Tensor, pulled: Tensor | None) -> Tensor:
        return rows if pulled is None else pulled.mT @ rows

    def bias_gradient(self, totals: Tensor, pulled: Tensor | None) -> Tensor:
        return totals if pulled is None else (totals[..., None] * pulled).sum(2)

    def pull(self, pulled: Tensor | None, weight: Tensor) -> Tensor:
        """The units' weights on the input, from those on the output. Later steps do not change the result."""
        return weight.clone() if pulled is None else pulled @ weight

    def constant(self, pulled: Tensor | None, bias: Tensor) -> Tensor:
        """The bias's contribution to each unit."""
        return bias if pulled is None else (pulled * bias[:, :, None]).sum(-1)


class Convolution:
    """A 2x2 convolution of one-channel maps, stride 1, no padding, with flattened output. See `Linear`."""

    def __init__(self, height: int, width: int, filters: int):
        self.map = (height, width)
        self.filters = filters
        self.units = (height - 1) * (width - 1) * filters

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {"weight": (self.filters, 4), "bias": (self.filters,)}

    def _patches(self, rows: Tensor) -> Tensor:
        """(2, N, H, height * width) -> (2, N, H, positions, 4)."""
        maps = rows.unflatten(-1, self.map).unfold(-2, 2, 1).unfold(-2, 2, 1)
        return maps.reshape(*rows.shape[:3], -1, 4)

    def forward(self, rows: Tensor, totals: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        out = self._patches(rows).flatten(2, 3) @ weight.mT
        constant = totals[..., None, None] * bias[..., None, None, :]
        return (out.unflatten(2, (rows.shape[2], -1)) + constant).flatten(-2)

    def _maps(self, pulled: Tensor | None) -> Tensor:
        """(2, N, H, positions, filters). The last layer, where there is no `pulled`, is linear."""
        assert pulled is not None
        return pulled.unflatten(-1, (-1, self.filters))

    def weight_gradient(self, rows: Tensor, pulled: Tensor | None) -> Tensor:
        return self._maps(pulled).flatten(2, 3).mT @ self._patches(rows).flatten(2, 3)

    def bias_gradient(self, totals: Tensor, pulled: Tensor | None) -> Tensor:
        return (totals[..., None] * self._maps(pulled).sum(3)).sum(2)

    def pull(self, pulled: Tensor | None, weight: Tensor) -> Tensor:
        height, width = self.map
        maps = self._maps(pulled)
        lead = maps.shape[:3]
        patches = (maps.flatten(2, 3) @ weight).reshape(*lead, height - 1, width - 1, 2, 2)
        out = maps.new_zeros(*lead, height, width)
        for i in range(2):
            for j in range(2):
                out[..., i : i + height - 1, j : j + width - 1] += patches[..., i, j]
        return out.flatten(-2)

    def constant(self, pulled: Tensor | None, bias: Tensor) -> Tensor:
        return (self._maps(pulled).sum(3) * bias[:, :, None]).sum(-1)


Layer = Linear | Convolution


def build_layers(critic: str, dim: int, map_shape: tuple[int, int] | None, hidden: int) -> list[Layer]:
    """The linear layers of one side of a critic.

    `vanilla` is the paper's (section 5.1): one linear layer. `released` is the authors' code:
    features that are images pass a 2x2 convolution with 16 filters first, then 512 units.
    """
    if critic == "vanilla":
        return [Linear(dim, hidden)]
    if map_shape is None:
        return [Linear(dim, 512), Linear(512, hidden)]
    if min(map_shape) < 2:
        raise ValueError(f"the released critic's 2x2 convolution needs larger maps than {map_shape}")
    convolution = Convolution(*map_shape, filters=16)
    return [convolution, Linear(convolution.units, 512), Linear(512, hidden)]


def _fans(shape: tuple[int, ...], layer: Layer) -> int:
    """fan-in + fan-out, for Glorot's limit."""
    return shape[0] * 4 + 4 if isinstance(layer, Convolution) else sum(shape)


class Critics:
    """The critics of N samples, N = len(index), with their Adam states.

    Weights start Glorot-uniform and biases at zero, drawn from (seed, index) alone.
    """

    def __init__(
        self, layers: list[Layer], hidden: int, lr: float, seed: int, index: Tensor, dtype: torch.dtype
    ):
        self.layers, self.lr, self.steps = layers, lr, 0
        count = len(index)
        self.params: list[list[Tensor]] = []
        for number, layer in enumerate(layers):
            shape = layer.shapes()["weight"]
            limit = math.sqrt(6 / _fans(shape, layer))
            draws = [
                seeding.uniform(seed, index, f"critic/{number}/{side}", shape, limit, dtype) for side in "xz"
            ]
            weight = torch.stack(draws)
            self.params.append([weight, weight.new_zeros(2, count, *layer.shapes()["bias"])])
        limit = math.sqrt(6 / (hidden + 1))
        self.out = seeding.uniform(seed, index, "critic/out", (hidden,), limit, dtype)
        self.first = [[torch.zeros_like(p) for p in pair] for pair in self.params]
        self.second = [[torch.zeros_like(p) for p in pair] for pair in self.params]
        self.out_first, self.out_second = torch.zeros_like(self.out), torch.zeros_like(self.out)

    def schedule(self, count: int) -> list[tuple[float, float]]:
        """Adam's bias corrections for the next steps: (lr / (1 - b1^t), 1 / sqrt(1 - b2^t))."""
        steps = range(self.steps + 1, self.steps + count + 1)
        return [(self.lr / (1 - BETA1**t), 1 / math.sqrt(1 - BETA2**t)) for t in steps]


def ascend(param: Tensor, grad: Tensor, first: Tensor, second: Tensor, rate: float, root: float) -> None:
    """One ascent step of Adam, in place. `rate` and `root` come from `Critics.schedule`."""
    first.lerp_(grad, 1 - BETA1)
    second.mul_(BETA2).addcmul_(grad, grad, value=1 - BETA2)
    param.addcdiv_(first, second.sqrt().mul_(root).add_(EPS), value=rate)
