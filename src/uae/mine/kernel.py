"""The vanilla critic's inner loop on the CPU, compiled by numba.

One call trains the critics of many samples for `inner_steps` steps and then evaluates them.
Per sample, the weights and both Adam moments stay in the core's L2 cache for all steps, and each
tile of them is visited once a step: gradient, Adam and the next step's projection in one pass.
The arithmetic is that of `critics.py`, which is the portable path and the place to read it.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numba import njit
from torch import Tensor

from uae.mine.critics import BETA1, BETA2, EPS, Critics

# Floats of one tile: 16 rows of samples, 10 of weights and both moments fit in a 32 KiB L1 cache.
TILE = 256

# Python's error model would put a branch on a zero divisor into the loops, and no branch vectorises.
# Not all of fast-math: a NaN must stay a NaN for the attack to report it.
compiled = njit(fastmath={"reassoc", "contract", "arcp", "nsz"}, error_model="numpy", nogil=True, cache=True)


@compiled
def _project(samples, weights, out, lo, hi):
    """out (K, H) += samples[:, lo:hi] @ weights[:, lo:hi].T, in blocks of four rows by two units."""
    count, hidden = samples.shape[0], weights.shape[0]
    zero = samples.dtype.type(0)
    for h in range(0, hidden - 1, 2):
        w0, w1 = weights[h, lo:hi], weights[h + 1, lo:hi]
        for k in range(0, count - 3, 4):
            x0, x1 = samples[k, lo:hi], samples[k + 1, lo:hi]
            x2, x3 = samples[k + 2, lo:hi], samples[k + 3, lo:hi]
            a00, a01, a10, a11 = zero, zero, zero, zero
            a20, a21, a30, a31 = zero, zero, zero, zero
            for d in range(hi - lo):
                a00 += x0[d] * w0[d]
                a01 += x0[d] * w1[d]
                a10 += x1[d] * w0[d]
                a11 += x1[d] * w1[d]
                a20 += x2[d] * w0[d]
                a21 += x2[d] * w1[d]
                a30 += x3[d] * w0[d]
                a31 += x3[d] * w1[d]
            out[k, h] += a00
            out[k, h + 1] += a01
            out[k + 1, h] += a10
            out[k + 1, h + 1] += a11
            out[k + 2, h] += a20
            out[k + 2, h + 1] += a21
            out[k + 3, h] += a30
            out[k + 3, h + 1] += a31
        for k in range(count - count % 4, count):
            x0 = samples[k, lo:hi]
            a00, a01 = zero, zero
            for d in range(hi - lo):
                a00 += x0[d] * w0[d]
                a01 += x0[d] * w1[d]
            out[k, h] += a00
            out[k, h + 1] += a01
    if hidden % 2:
        w0 = weights[hidden - 1, lo:hi]
        for k in range(count):
            x0 = samples[k, lo:hi]
            a00 = zero
            for d in range(hi - lo):
                a00 += x0[d] * w0[d]
            out[k, hidden - 1] += a00


@compiled
def _adam(param, grad, first, second, hyper, rate, root):
    beta1, beta2, eps, one = hyper[0], hyper[1], hyper[2], hyper[3]
    for d in range(param.shape[0]):
        g = grad[d]
        m = beta1 * first[d] + (one - beta1) * g
        v = beta2 * second[d] + (one - beta2) * g * g
        first[d] = m
        second[d] = v
        param[d] += rate * m / (math.sqrt(v) * root + eps)


@compiled
def _ascend(samples, grad, weights, first, second, lo, hi, scratch, hyper, rate, root):
    """Adam on weights[:, lo:hi] with the gradient grad.T @ samples[:, lo:hi]; two units at a time."""
    count, hidden = samples.shape[0], weights.shape[0]
    width = hi - lo
    g0, g1 = scratch[0, :width], scratch[1, :width]
    for h in range(0, hidden, 2):
        pair = min(h + 1, hidden - 1)  # an odd last unit is its own partner: computed twice, used once
        scratch[:] = 0
        for k in range(0, count - 3, 4):
            a0, a1, a2, a3 = grad[k, h], grad[k + 1, h], grad[k + 2, h], grad[k + 3, h]
            b0, b1, b2, b3 = grad[k, pair], grad[k + 1, pair], grad[k + 2, pair], grad[k + 3, pair]
            x0, x1 = samples[k, lo:hi], samples[k + 1, lo:hi]
            x2, x3 = samples[k + 2, lo:hi], samples[k + 3, lo:hi]
            for d in range(width):
                g0[d] += a0 * x0[d] + a1 * x1[d] + a2 * x2[d] + a3 * x3[d]
                g1[d] += b0 * x0[d] + b1 * x1[d] + b2 * x2[d] + b3 * x3[d]
        for k in range(count - count % 4, count):
            a0, b0, x0 = grad[k, h], grad[k, pair], samples[k, lo:hi]
            for d in range(width):
                g0[d] += a0 * x0[d]
                g1[d] += b0 * x0[d]
        for j in range(h, min(h + 2, hidden)):
            _adam(weights[j, lo:hi], scratch[j - h], first[j, lo:hi], second[j, lo:hi], hyper, rate, root)


@compiled
def _bound(proj, perm, bias, out_weight, scores, grad, grad_small):
    """The Donsker-Varadhan bound of one critic, and its gradients.

    Fills `grad` (2, K, H), with respect to the projections of both sides, and `grad_small`
    (2, H), with respect to the hidden bias and the output weights.
    """
    count, hidden = proj.shape[1], proj.shape[2]
    zero, one = proj.dtype.type(0), proj.dtype.type(1)
    joint = zero
    top = proj.dtype.type(-np.inf)
    for k in range(count):
        p = perm[k]
        tj, tm = zero, zero
        for h in range(hidden):
            aj = proj[0, k, h] + proj[1, k, h] + bias[h]
            am = proj[0, k, h] + proj[1, p, h] + bias[h]
            tj += max(aj, zero) * out_weight[h]
            tm += max(am, zero) * out_weight[h]
        joint += tj
        scores[k] = tm
        top = max(top, tm)
    total = zero
    for k in range(count):
        scores[k] = math.exp(scores[k] - top)
        total += scores[k]
    share = one / proj.dtype.type(count)
    grad[:] = 0
    grad_small[:] = 0
    for k in range(count):
        p = perm[k]
        soft = scores[k] / total
        for h in range(hidden):
            aj = proj[0, k, h] + proj[1, k, h] + bias[h]
            am = proj[0, k, h] + proj[1, p, h] + bias[h]
            gj = share * out_weight[h] if aj > 0 else zero
            gm = -soft * out_weight[h] if am > 0 else zero
            grad[0, k, h] += gj + gm
            grad[1, k, h] += gj
            grad[1, p, h] += gm
            grad_small[0, h] += gj + gm
            grad_small[1, h] += share * max(aj, zero) - soft * max(am, zero)
    return joint * share - (top + math.log(total) + math.log(share))


@compiled
def _train(lo_i, hi_i, x, z, weight, bias, out, first, second, perms, hyper, schedule, value, grad_z):
    """Train and evaluate the critics of samples lo_i..hi_i - 1; the shapes are those of `train`.

    `first` and `second` hold Adam's moments of (weight, bias, out).
    """
    count, dim, hidden = x.shape[1], x.shape[2], weight.shape[2]
    steps = schedule.shape[0]
    proj = np.zeros((2, count, hidden), x.dtype)
    grad = np.zeros((2, count, hidden), x.dtype)
    grad_small = np.zeros((2, hidden), x.dtype)
    scores = np.zeros(count, x.dtype)
    scratch = np.zeros((2, TILE), x.dtype)
    (m_weight, m_bias, m_out), (v_weight, v_bias, v_out) = first, second
    for i in range(lo_i, hi_i):
        proj[:] = 0
        for lo in range(0, dim, TILE):
            hi = min(lo + TILE, dim)
            _project(x[i], weight[0, i], proj[0], lo, hi)
            _project(z[i], weight[1, i], proj[1], lo, hi)
        for s in range(steps):
            rate, root = schedule[s, 0], schedule[s, 1]
            _bound(proj, perms[i, s], bias[0, i] + bias[1, i], out[i], scores, grad, grad_small)
            for side in range(2):
                _adam(bias[side, i], grad_small[0], m_bias[side, i], v_bias[side, i], hyper, rate, root)
            _adam(out[i], grad_small[1], m_out[i], v_out[i], hyper, rate, root)
            proj[:] = 0
            for lo in range(0, dim, TILE):
                hi = min(lo + TILE, dim)
                for side in range(2):
                    samples = x[i] if side == 0 else z[i]
                    w = weight[side, i]
                    m, v = m_weight[side, i], v_weight[side, i]
                    _ascend(samples, grad[side], w, m, v, lo, hi, scratch, hyper, rate, root)
                    _project(samples, w, proj[side], lo, hi)
        value[i] = _bound(proj, perms[i, steps], bias[0, i] + bias[1, i], out[i], scores, grad, grad_small)
        for k in range(count):
            row = grad_z[i, k]
            row[:] = 0
            for h in range(hidden):
                w, g = weight[1, i, h], grad[1, k, h]
                for d in range(dim):
                    row[d] += g * w[d]


def train(critics: Critics, x: Tensor, z: Tensor, perms: Tensor) -> tuple[Tensor, Tensor]:
    """`critics.train(x, z, perms)` for vanilla critics on the CPU; threads share the samples."""
    dtype = x.numpy().dtype
    params = (*critics.params[0], critics.out)
    first = (*critics.first[0], critics.out_first)
    second = (*critics.second[0], critics.out_second)
    weight, bias, out, *moments = (t.numpy() for t in (*params, *first, *second))
    schedule = np.array(critics.schedule(perms.shape[1] - 1), dtype).reshape(-1, 2)
    critics.steps += len(schedule)
    value, grad_z = x.new_empty(len(x)), torch.empty_like(z, memory_format=torch.contiguous_format)
    args = (
        x.contiguous().numpy(),
        z.contiguous().numpy(),
        weight,
        bias,
        out,
        tuple(moments[:3]),
        tuple(moments[3:]),
        perms.to(torch.int32).numpy(),
        np.array([BETA1, BETA2, EPS, 1], dtype),
        schedule,
        value.numpy(),
        grad_z.numpy(),
    )
    bounds = np.linspace(0, len(x), min(torch.get_num_threads(), len(x)) + 1).astype(int)
    with ThreadPoolExecutor(max(len(bounds) - 1, 1)) as pool:
        list(pool.map(lambda lo, hi: _train(lo, hi, *args), bounds[:-1], bounds[1:]))
    return value, grad_z
