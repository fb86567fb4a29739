"""The critics' training as batched products: on every device, and the place to read the arithmetic.

The gradients are closed form: the log-mean-exp's is a softmax over the marginal scores, and the layers are
linear.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from uae import seeding
from uae.mine.critics import Critics, ascend

SMALLEST = 1e-12  # of a compressed sample's spread: that of a black image is 0


def bound(projected: Tensor, out: Tensor, perm: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The Donsker-Varadhan bound (N,), its gradient by the projections (2, N, K, H) and by `out` (N, H).

    The marginal permutes the projected rows of the z side: nothing is projected twice.
    """
    hx, hz = projected
    rows = perm[..., None].expand(-1, -1, hz.shape[-1])
    joint, marginal = hx + hz, hx + hz.gather(1, rows)
    scores = torch.einsum("nkh,nh->nk", marginal.relu(), out)
    count = scores.shape[1]
    value = (
        torch.einsum("nkh,nh->n", joint.relu(), out) / count - torch.logsumexp(scores, 1) + math.log(count)
    )
    soft = scores.softmax(1)[..., None]
    grad_joint = (joint > 0) * out[:, None] / count
    grad_marginal = (marginal > 0) * out[:, None] * -soft
    grad_out = joint.relu().mean(1) - (soft * marginal.relu()).sum(1)
    grad_z = grad_joint.scatter_add(1, rows, grad_marginal)
    return value, torch.stack([grad_joint + grad_marginal, grad_z]), grad_out


def standardized(samples: Tensor) -> tuple[Tensor, Tensor]:
    """Samples (..., D) with mean 0 and variance 1, and their spread before (..., 1); a constant one is 0."""
    centred = samples - samples.mean(-1, keepdim=True)
    spread = centred.square().mean(-1, keepdim=True).sqrt().clamp(min=SMALLEST)
    return centred / spread, spread


class Engine:
    """Trains `critics` in place. Other engines replace `train`, `_train` or `update_layer`."""

    def __init__(self, critics: Critics, standardize: bool = False):
        self.critics, self.layers, self.standardize = critics, list(critics.layers), standardize
        # The units' weights on each layer's input, (2, N, H, in), from the first call of `train` on
        self.pulled: list[Tensor] = []

    permutations = staticmethod(seeding.permutations)

    def train(self, x: Tensor, z: Tensor, perms: Tensor) -> tuple[Tensor, Tensor]:
        """Train for S - 1 steps, then evaluate.

        x, z: the samples of both sides, (N, K, D). perms: (N, S, K), a permutation for each step and
        one for the evaluation. Returns the bound (N,) and its gradient by z (N, K, D).
        """
        if not self.standardize:
            return self._train(x, z, perms)
        (x, _), (z, spread) = standardized(x), standardized(z)
        value, grad = self._train(x, z, perms)
        of_spread = (grad * z).mean(-1, keepdim=True)
        return value, (grad - grad.mean(-1, keepdim=True) - z * of_spread) / spread

    def _train(self, x: Tensor, z: Tensor, perms: Tensor) -> tuple[Tensor, Tensor]:
        """`train` of samples that are standardised, if they are to be."""
        both = torch.stack([x, z])
        if not self.pulled:
            for layer, (weight, _) in zip(reversed(self.layers), reversed(self.critics.params), strict=True):
                self.pulled.insert(0, layer.pull(self.pulled[0] if self.pulled else None, weight))
        for step, (rate, root) in enumerate(self.critics.schedule(perms.shape[1] - 1)):
            _, grad, grad_out = bound(self._project(both), self.critics.out, perms[:, step])
            totals, going_up = grad.sum(2), [grad.mT @ both]
            for layer, (weight, bias) in zip(self.layers[:-1], self.critics.params, strict=False):
                going_up.append(layer.forward(going_up[-1], totals, weight, bias))
            above: list[Tensor | None] = [None, None]
            for i in reversed(range(len(self.layers))):
                before = self.pulled[i]
                self.pulled[i] = self.update_layer(i, going_up[i], totals, above, rate, root)
                above = [before, self.pulled[i]]
            ascend(self.critics.out, grad_out, self.critics.out_first, self.critics.out_second, rate, root)
        self.critics.steps += perms.shape[1] - 1
        value, grad, _ = bound(self._project(both), self.critics.out, perms[:, -1])
        return value, grad[1] @ self.pulled[0][1]

    def update_layer(
        self, i: int, rows: Tensor, totals: Tensor, pulled: list[Tensor | None], rate: float, root: float
    ) -> Tensor:
        """One step of layer i, from its rows; the units' weights on its input after the step.

        pulled: the units' weights on its output, before and after the step; None at the last layer.
        """
        critics, layer, (before, after) = self.critics, self.layers[i], pulled
        grads = layer.weight_gradient(rows, before), layer.bias_gradient(totals, before)
        for state in zip(critics.params[i], grads, critics.first[i], critics.second[i], strict=True):
            ascend(*state, rate, root)
        return layer.pull(after, critics.params[i][0])

    def _project(self, both: Tensor) -> Tensor:
        """The units of all samples (2, N, K, D), (2, N, K, H)."""
        constants = (
            layer.constant(pulled, bias)
            for layer, (_, bias), pulled in zip(
                self.layers, self.critics.params, [*self.pulled[1:], None], strict=True
            )
        )
        return both @ self.pulled[0].mT + sum(constants, both.new_zeros(()))[..., None, :]
