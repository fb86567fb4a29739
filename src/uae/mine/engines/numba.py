"""The critics' training on the CPU, compiled by numba.

**Vanilla**: one call trains the critics of many samples for `inner_steps` steps and then evaluates them. The
weights and both Adam moments of a sample stay in the core's L2 cache for all steps. A step passes
over them once, for the gradient and Adam together, and once more over the weights to project; both
passes hold ten sums in registers, so that arithmetic and not loading bounds them.

**Released**: a step of a large layer goes over its weights on the way up, and on the way down once over
weights and moments, ten inputs at a time; it pulls the units' weights down to these inputs as soon as
theirs have moved. Memory bounds it, so both passes ask for it ahead.

The arithmetic is that of `portable.py`. Rows,
units and dimensions are padded with zeros to whole blocks of registers: padding gets no gradient
and stays zero.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from uae.mine.critics import BETA1, BETA2, EPS, Critics, Linear, ascend
from uae.mine.engines import portable
from uae.mine.engines.compiled import compiled, copy, inlined, scratch, share
from uae.mine.engines.shuffle import permutations
from uae.mine.engines.simd import (
    WIDTH,
    add,
    exp,
    fma,
    lanes,
    load,
    multiply,
    prefetch,
    reciprocal,
    relu,
    spread,
    sqrt,
    store,
    total,
    totals,
    where_positive,
)

ROWS, UNITS = 2, 5  # a block: ten sums, two or five operands and one more fill the 16 registers
INPUTS = 2 * UNITS  # of a large layer at a time: whole blocks of both passes
AHEAD = 2 * INPUTS  # so far ahead its memory is asked for
SMALLEST = portable.SMALLEST


@inlined()
def _project(samples, weights, out):
    """out (H, K) = weights (H, D) @ samples (K, D).T, in blocks of two samples by five units."""
    count, dim = samples.shape
    zero = spread(samples.dtype.type(0))
    for k in range(0, count, ROWS):
        x = k * dim
        for h in range(0, weights.shape[0], UNITS):
            w = h * dim
            a0 = a1 = a2 = a3 = a4 = b0 = b1 = b2 = b3 = b4 = zero
            for d in range(0, dim, lanes(samples)):
                xa, xb = load(samples, x + d), load(samples, x + dim + d)
                unit = load(weights, w + d)
                a0, b0 = fma(xa, unit, a0), fma(xb, unit, b0)
                unit = load(weights, w + dim + d)
                a1, b1 = fma(xa, unit, a1), fma(xb, unit, b1)
                unit = load(weights, w + 2 * dim + d)
                a2, b2 = fma(xa, unit, a2), fma(xb, unit, b2)
                unit = load(weights, w + 3 * dim + d)
                a3, b3 = fma(xa, unit, a3), fma(xb, unit, b3)
                unit = load(weights, w + 4 * dim + d)
                a4, b4 = fma(xa, unit, a4), fma(xb, unit, b4)
            sums = totals((a0, b0, a1, b1, a2, b2, a3, b3, a4, b4))
            out[h, k], out[h, k + 1] = sums[0], sums[1]
            out[h + 1, k], out[h + 1, k + 1] = sums[2], sums[3]
            out[h + 2, k], out[h + 2, k + 1] = sums[4], sums[5]
            out[h + 3, k], out[h + 3, k + 1] = sums[6], sums[7]
            out[h + 4, k], out[h + 4, k + 1] = sums[8], sums[9]


@inlined()
def _mix(samples, weights, d, h):
    """Units h..h + 4 of weights (K, H).T @ samples (K, D), two registers of each from element d on.

    Indices are unsigned: a signed one may count from the end, and its test takes registers from the sums.
    """
    count, dim = samples.shape
    step = lanes(samples)
    a0 = a1 = a2 = a3 = a4 = b0 = b1 = b2 = b3 = b4 = spread(samples.dtype.type(0))
    for k in range(count):
        xa, xb = load(samples, k * dim + d), load(samples, k * dim + d + step)
        unit = spread(weights[np.uintp(k), np.uintp(h)])
        a0, b0 = fma(xa, unit, a0), fma(xb, unit, b0)
        unit = spread(weights[np.uintp(k), np.uintp(h + 1)])
        a1, b1 = fma(xa, unit, a1), fma(xb, unit, b1)
        unit = spread(weights[np.uintp(k), np.uintp(h + 2)])
        a2, b2 = fma(xa, unit, a2), fma(xb, unit, b2)
        unit = spread(weights[np.uintp(k), np.uintp(h + 3)])
        a3, b3 = fma(xa, unit, a3), fma(xb, unit, b3)
        unit = spread(weights[np.uintp(k), np.uintp(h + 4)])
        a4, b4 = fma(xa, unit, a4), fma(xb, unit, b4)
    return a0, b0, a1, b1, a2, b2, a3, b3, a4, b4


@inlined()
def _adam(grad, param, first, second, offset, hyper, ahead):
    """One register of Adam at `offset`; `grad` and the members of `hyper` are registers as well.

    ahead: how far from here to ask for memory, in elements; 0 where all is in the cache.
    """
    keep1, keep2, root, eps = hyper
    if ahead:
        prefetch(param, offset + ahead)
        prefetch(first, offset + ahead)
        prefetch(second, offset + ahead)
    # All loads before the first store: the three arrays lie alike in their pages, and a load waits for a
    # store to the same place of another page (4K aliasing).
    p, m, v = load(param, offset), load(first, offset), load(second, offset)
    m, v = fma(keep1, m, grad), fma(keep2, v, multiply(grad, grad))
    store(first, offset, m)
    store(second, offset, v)
    store(param, offset, fma(m, reciprocal(fma(sqrt(v), root, eps)), p))


@inlined()
def _ascend(samples, grad, weights, first, second, hyper, ahead):
    """Adam on weights (H, D) with the gradient grad (K, H).T @ samples (K, D), which is never stored."""
    dim, step = samples.shape[1], lanes(samples)
    hyper = (
        spread(hyper[0]),
        spread(hyper[1]),
        spread(hyper[2]),
        spread(hyper[3]),
    )
    for d in range(0, dim, 2 * step):
        for h in range(0, weights.shape[0], UNITS):
            a0, b0, a1, b1, a2, b2, a3, b3, a4, b4 = _mix(samples, grad, d, h)
            w = h * dim + d
            _adam(a0, weights, first, second, w, hyper, ahead)
            _adam(b0, weights, first, second, w + step, hyper, ahead)
            _adam(a1, weights, first, second, w + dim, hyper, ahead)
            _adam(b1, weights, first, second, w + dim + step, hyper, ahead)
            _adam(a2, weights, first, second, w + 2 * dim, hyper, ahead)
            _adam(b2, weights, first, second, w + 2 * dim + step, hyper, ahead)
            _adam(a3, weights, first, second, w + 3 * dim, hyper, ahead)
            _adam(b3, weights, first, second, w + 3 * dim + step, hyper, ahead)
            _adam(a4, weights, first, second, w + 4 * dim, hyper, ahead)
            _adam(b4, weights, first, second, w + 4 * dim + step, hyper, ahead)


@inlined()
def _ascend_small(param, grad, first, second, hyper):
    """Adam on a vector of a few numbers."""
    for h in range(len(param)):
        first[h] = hyper[0] * first[h] + grad[h]
        second[h] = hyper[1] * second[h] + grad[h] * grad[h]
        param[h] += first[h] / (math.sqrt(second[h]) * hyper[2] + hyper[3])


@inlined()
def _bound(proj, perm, bias, out_weight, units, scores, grad, grad_small):
    """The Donsker-Varadhan bound of one critic, and its gradients.

    A register holds units of one sample, so that the permutation moves registers and not numbers. Fills
    `grad` (2, K, H), with respect to the projections `proj` of both sides, and `grad_small` (2, H), with
    respect to the hidden bias and the output weights. H is padded to whole registers in all but `bias` and
    `out_weight`, K to whole registers in `scores`. Scratch: `units` (2, H) and `scores` (K,).
    """
    count, wide, step = len(perm), proj.shape[2], lanes(proj)
    zero, one, other = proj.dtype.type(0), proj.dtype.type(1), proj[0].size
    for h in range(len(out_weight)):
        units[0, h], units[1, h] = bias[0, h] + bias[1, h], out_weight[h]
    joint, top, share = zero, proj.dtype.type(-np.inf), one / proj.dtype.type(count)
    scores[:] = 0
    for h in range(0, wide, step):
        shift, weight, of_out = load(units, h), load(units, wide + h), spread(zero)
        for k in range(count):
            at, moved = k * wide + h, other + np.intp(perm[k]) * wide + h
            x = add(load(proj, at), shift)
            active = add(x, load(proj, other + at))
            of_out = fma(relu(active), spread(share), of_out)
            pulled = where_positive(active, multiply(weight, spread(share)))
            store(grad, at, pulled)
            store(grad, other + at, pulled)
            scores[k] += total(multiply(relu(add(x, load(proj, moved))), weight))
        joint += total(multiply(of_out, weight))
        store(grad_small, wide + h, of_out)
    for k in range(count):
        top = max(top, scores[k])
    for k in range(0, count, step):
        store(scores, k, exp(add(load(scores, k), spread(-top))))
    partition = zero
    for k in range(count):
        partition += scores[k]
    scale = one / partition
    for h in range(0, wide, step):
        shift, weight, of_bias = load(units, h), load(units, wide + h), spread(zero)
        of_out = load(grad_small, wide + h)
        for k in range(count):
            at, moved = k * wide + h, other + np.intp(perm[k]) * wide + h
            active = add(add(load(proj, at), shift), load(proj, moved))
            soft = spread(-scores[k] * scale)
            pulled = where_positive(active, multiply(weight, soft))
            whole = add(load(grad, at), pulled)
            store(grad, at, whole)
            store(grad, moved, add(load(grad, moved), pulled))
            of_bias, of_out = add(of_bias, whole), fma(relu(active), soft, of_out)
        store(grad_small, h, of_bias)
        store(grad_small, wide + h, of_out)
    return joint - (top + math.log(partition) + math.log(share))


@inlined()
def _pull(weights, grad, out):
    """out (K, D) = grad (K, H) @ weights (H, D), of which only `out` is not padded."""
    hidden, padded = weights.shape
    count, dim = out.shape
    whole = dim - dim % lanes(weights)
    for k in range(count):
        for d in range(0, whole, lanes(weights)):
            a = spread(weights.dtype.type(0))
            for h in range(hidden):
                a = fma(load(weights, h * padded + d), spread(grad[k, h]), a)
            store(out, k * dim + d, a)
        for d in range(whole, dim):
            out[k, d] = 0
            for h in range(hidden):
                out[k, d] += weights[h, d] * grad[k, h]


@inlined()
def _standardize(sample):
    """Give a compressed sample (D,) mean 0 and variance 1, as `portable.standardized`; its spread before."""
    mean = square = sample.dtype.type(0)
    for d in range(len(sample)):
        mean += sample[d]
    mean /= sample.dtype.type(len(sample))
    for d in range(len(sample)):
        sample[d] -= mean
        square += sample[d] * sample[d]
    spread = max(math.sqrt(square / sample.dtype.type(len(sample))), sample.dtype.type(SMALLEST))
    for d in range(len(sample)):
        sample[d] /= spread
    return spread


@inlined()
def _unstandardize(sample, spread, grad):
    """From the gradient by a standardised sample (D,), that by what it was, in place."""
    mean = along = sample.dtype.type(0)
    for d in range(len(sample)):
        mean += grad[d]
        along += grad[d] * sample[d]
    mean, along = mean / sample.dtype.type(len(sample)), along / sample.dtype.type(len(sample))
    for d in range(len(sample)):
        grad[d] = (grad[d] - mean - sample[d] * along) / spread


@compiled()
def _train(
    start,
    stop,
    x,
    z,
    turned,
    weight,
    bias,
    out,
    first,
    second,
    perms,
    standardize,
    hyper,
    value,
    grad_z,
    scratch,
):
    """Train and evaluate the critics of samples start..stop - 1; the shapes are those of `Engine.train`.

    `turned`: z is (N, D, K), as a convolution whose channels come last writes it.

    `first` and `second` hold Adam's moments of (weight, bias, out); `hyper` (steps, 4) what Adam
    needs at each step; `scratch` is the caller's, because each np.zeros here adds to the compile time.
    """
    count, dim = x.shape[1:]
    xs, zs, proj, grad, grad_small, units, scores, deviation = scratch
    shape, hidden = xs.shape, weight.shape[2]
    (m_weight, m_bias, m_out), (v_weight, v_bias, v_out) = first, second
    whole = x.shape[1:] == shape and not standardize
    for i in range(start, stop):
        if whole:
            xs = x[i]
        else:
            copy(x[i], xs)
        if turned:
            copy(z[i], zs.T)
        elif whole:
            zs = z[i]
        else:
            copy(z[i], zs)
        if standardize:
            for k in range(count):
                _standardize(xs[k, :dim])
                deviation[k] = _standardize(zs[k, :dim])
        for s in range(len(hyper) + 1):
            _project(xs, weight[0, i], proj[0, :, :hidden].T)
            _project(zs, weight[1, i], proj[1, :, :hidden].T)
            value[i] = _bound(proj, perms[i, s], bias[:, i], out[i], units, scores, grad, grad_small)
            if s == len(hyper):
                break
            _ascend_small(out[i], grad_small[1], m_out[i], v_out[i], hyper[s])
            for side in range(2):
                samples = xs if side == 0 else zs
                m, v = m_weight[side, i], v_weight[side, i]
                _ascend_small(bias[side, i], grad_small[0], m_bias[side, i], v_bias[side, i], hyper[s])
                _ascend(samples, grad[side], weight[side, i], m, v, hyper[s], 0)
        _pull(weight[1, i], grad[1], grad_z[i])
        if standardize:
            for k in range(count):
                _unstandardize(zs[k, :dim], deviation[k], grad_z[i, k])


@inlined()
def _add(out, offset, register):
    store(out, offset, add(load(out, offset), register))


@compiled()
def _climb(start, stop, weight, rows, out):
    """Columns start..stop - 1 of out (H, units) = rows (H, inputs) @ weight (inputs, units); see `Large`."""
    units, step = weight.shape[2], lanes(weight)
    for i in range(len(weight)):
        up = out[i]
        up[:, start:stop] = 0
        for k in range(0, weight.shape[1], INPUTS):
            w, r = weight[i, k : k + INPUTS], rows[i, :, k : k + INPUTS].T
            for d in range(start, stop, 2 * step):
                for line in range(INPUTS):
                    prefetch(w, (AHEAD + line) * units + d)
                    prefetch(w, (AHEAD + line) * units + d + step)
                for h in range(0, len(up), UNITS):
                    a0, b0, a1, b1, a2, b2, a3, b3, a4, b4 = _mix(w, r, d, h)
                    u = h * units + d
                    _add(up, u, a0)
                    _add(up, u + step, b0)
                    _add(up, u + units, a1)
                    _add(up, u + units + step, b1)
                    _add(up, u + 2 * units, a2)
                    _add(up, u + 2 * units + step, b2)
                    _add(up, u + 3 * units, a3)
                    _add(up, u + 3 * units + step, b3)
                    _add(up, u + 4 * units, a4)
                    _add(up, u + 4 * units + step, b4)


@compiled()
def _update(start, stop, weight, first, second, rows, before, after, out, hyper):
    """`update_layer` of the inputs start..stop - 1, whole blocks; shapes as those of `Large.state`."""
    ahead = AHEAD * weight.shape[2]
    for i in range(len(weight)):
        for d in range(start, stop, INPUTS):
            w, m, v = weight[i, d : d + INPUTS], first[i, d : d + INPUTS], second[i, d : d + INPUTS]
            _ascend(before[i], rows[i, :, d : d + INPUTS], w, m, v, hyper, ahead)
            _project(w, after[i], out[i, :, d : d + INPUTS])


def _padded(tensor: Tensor, rows: int, columns: int) -> Tensor:
    """Zeros added until the last two sizes are multiples; the tensor itself if they are."""
    height, width = tensor.shape[-2:]
    below, beside = -height % rows, -width % columns
    if not below and not beside:
        return tensor.contiguous()
    out = tensor.new_empty(*tensor.shape[:-2], height + below, width + beside)
    # Not all zeros first: that takes twice as long as the copy.
    out[..., :height, :width] = tensor
    out[..., :height, width:] = out[..., height:, :] = 0
    return out


def _hyper(schedule: list[tuple[float, float]], like: Tensor) -> np.ndarray:
    """What `_adam` needs at each step, (steps, 4): the two decays, the root's factor, and epsilon.

    The moments here are sums, larger than Adam's means by 1 / (1 - decay). The last two numbers contain these
    factors and the rate, which saves three products for each weight. In float32 the sums overflow from
    features of 7e17 on, means would from 3e18 on.
    """
    of_first, of_second = 1 - BETA1, math.sqrt(1 - BETA2)
    hyper = [
        (BETA1, BETA2, root * of_second / (rate * of_first), EPS / (rate * of_first))
        for rate, root in schedule
    ]
    return torch.tensor(hyper, dtype=like.dtype).reshape(-1, 4).numpy()


def _register(like: Tensor) -> int:
    """A register's elements."""
    return WIDTH // like.itemsize


def _columns(like: Tensor) -> int:
    """Two registers' elements."""
    return 2 * _register(like)


class Large(Linear):
    """A layer whose weights are passed over input by input: `state`, the weights and both moments, is laid
    out as (2, N, inputs, units) and padded."""

    def __init__(self, layer: Linear, state: list[Tensor]):
        super().__init__(layer.size, layer.units)
        self.state = state

    def forward(self, rows: Tensor, totals: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        buffer, rows_in = self.state[0], _padded(rows, UNITS, INPUTS)
        out = rows.new_empty(*rows_in.shape[:3], buffer.shape[-1])
        args = [t.flatten(0, 1).numpy() for t in (buffer, rows_in, out)]
        share(lambda start, stop: _climb(start, stop, *args), out.shape[-1], _columns(out))
        return out[..., : rows.shape[-2], : self.units] + totals[..., None] * bias[..., None, :]


class Engine(portable.Engine):
    """Trains critics on the CPU; threads share the samples, or a large layer's inputs."""

    def __init__(self, critics: Critics, standardize: bool = False):
        """Lay weights and moments out in whole blocks, once."""
        super().__init__(critics, standardize)
        self.vanilla = len(self.layers) == 1
        moments = critics.params, critics.first, critics.second
        if self.vanilla:
            for tensors in (state[0] for state in moments):
                tensors[0] = _padded(tensors[0], UNITS, _columns(critics.out))
            return
        for i, layer in enumerate(self.layers[:-1]):
            if isinstance(layer, Linear):
                state = []
                for tensors in (each[i] for each in moments):
                    state.append(_padded(tensors[0].mT, INPUTS, _columns(critics.out)))
                    tensors[0] = state[-1][..., : layer.size, : layer.units].mT
                self.layers[i] = Large(layer, state)

    permutations = staticmethod(permutations)

    def train(self, x: Tensor, z: Tensor, perms: Tensor) -> tuple[Tensor, Tensor]:
        if not self.vanilla:
            return super().train(x, z, perms)
        critics = self.critics
        (weight, bias), (m_weight, m_bias), (v_weight, v_bias) = (
            [tensor.numpy() for tensor in state[0]]
            for state in (critics.params, critics.first, critics.second)
        )
        schedule = critics.schedule(perms.shape[1] - 1)
        critics.steps += len(schedule)
        value, grad_z = x.new_empty(len(x)), torch.empty_like(z, memory_format=torch.contiguous_format)
        turned = z.mT.is_contiguous()
        args = (
            x.contiguous().numpy(),
            (z.mT if turned else z.contiguous()).numpy(),
            turned,
            weight,
            bias,
            critics.out.numpy(),
            (m_weight, m_bias, critics.out_first.numpy()),
            (v_weight, v_bias, critics.out_second.numpy()),
            perms.to(torch.int32).numpy().view(np.uint32),
            self.standardize,
            _hyper(schedule, x),
            value.numpy(),
            grad_z.numpy(),
        )

        def work(start: int, stop: int) -> None:
            lanes = _register(x)
            count, padded = (size * math.ceil(x.shape[1] / size) for size in (ROWS, lanes))
            hidden = lanes * math.ceil(weight.shape[2] / lanes)
            samples, units, small = (count, weight.shape[3]), (2, count, hidden), (2, hidden)
            shapes = samples, samples, units, units, small, small, (padded,), (count,)
            _train(start, stop, *args, tuple(scratch(weight, *shape) for shape in shapes))

        share(work, len(x))
        return value, grad_z

    def update_layer(
        self, i: int, rows: Tensor, totals: Tensor, pulled: list[Tensor | None], rate: float, root: float
    ) -> Tensor:
        critics, layer = self.critics, self.layers[i]
        if not isinstance(layer, Large):
            return super().update_layer(i, rows, totals, pulled, rate, root)
        bias, m_bias, v_bias = critics.params[i][1], critics.first[i][1], critics.second[i][1]
        ascend(bias, layer.bias_gradient(totals, pulled[0]), m_bias, v_bias, rate, root)
        columns = _columns(rows)
        before, after = _padded(pulled[0], 1, columns), _padded(pulled[1], UNITS, columns)
        state = [buffer.flatten(0, 1).numpy() for buffer in layer.state]
        rows_in = _padded(rows, UNITS, INPUTS)
        out = torch.empty_like(rows_in)
        args = [t.flatten(0, 1).numpy() for t in (rows_in, before, after, out)]
        hyper = _hyper([(rate, root)], rows)[0]
        share(lambda start, stop: _update(start, stop, *state, *args, hyper), out.shape[-1], INPUTS)
        return out[..., : rows.shape[-2], : rows.shape[-1]]
