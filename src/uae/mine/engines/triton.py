"""The critics' training on a GPU, in Triton.

`train` runs all steps of the vanilla critic in one launch, one program for each sample. A step goes
once over the weights and moments: gradient, Adam and the next projection, tile by tile. Registers leave
room for two programs a multiprocessor: on an H100 their state (188 kB each for D = 784) is 50 MB, as much
as the L2 cache.

`update` is a step of one linear layer of the released critic, in one pass over its weights and
moments; the gradient, a product of two thin matrices, exists in registers only.

The arithmetic is that of `portable.py`, in full float32 (no TF32). No call synchronises with the device.
"""

from __future__ import annotations

import functools
import logging

import torch
import triton
import triton.language as tl
from torch import Tensor

from uae.mine import critics as adam
from uae.mine.critics import Critics, Linear, ascend
from uae.mine.engines import portable

BETA1, BETA2, EPS = tl.constexpr(adam.BETA1), tl.constexpr(adam.BETA2), tl.constexpr(adam.EPS)
# The most that `train` and `update` take: the tests compile no larger kernels
MAX_ROWS, MAX_HIDDEN = 512, 64
# Stages of a loop over tiles. With 3, loads are two tiles ahead. With 1, tiles take the least shared memory.
STAGES = (3, 1)
TILE_IN, TILE_OUT = 128, 16  # of `update`

log = logging.getLogger(__name__)


@triton.jit
def _dot(a, b, acc):
    return tl.dot(a, b, acc, input_precision="ieee", out_dtype=acc.dtype)


@triton.jit
def _ascend(param, first, second, at, mask, grad, rate, root):
    """Adam on what lies `at`; the parameters before and after."""
    p = tl.load(param + at, mask=mask, other=0.0)
    m = BETA1 * tl.load(first + at, mask=mask, other=0.0) + (1 - BETA1) * grad
    v = BETA2 * tl.load(second + at, mask=mask, other=0.0) + (1 - BETA2) * grad * grad
    moved = p + rate * m / (tl.sqrt(v) * root + EPS)
    tl.store(param + at, moved, mask=mask)
    tl.store(first + at, m, mask=mask)
    tl.store(second + at, v, mask=mask)
    return p, moved


@triton.jit
def _bound(hx, hz, bias, out, perm, inverse, rows, count):
    """Value and gradients by both projections and by `out`; `rows` masks the padding."""
    joint = hx + hz + bias[None, :]
    marginal = hx + tl.gather(hz, perm, 0) + bias[None, :]
    scores = tl.sum(tl.maximum(marginal, 0.0) * out[None, :], 1)
    top = tl.max(tl.where(rows, scores, float("-inf")), 0)
    exps = tl.where(rows, tl.exp(scores - top), 0.0)
    total = tl.sum(exps, 0)
    soft = (exps / total)[:, None]
    share = (rows.to(hx.dtype) / count)[:, None]
    value = tl.sum(tl.sum(tl.maximum(joint, 0.0) * share, 0) * out, 0) - tl.log(total / count) - top
    grad_joint = tl.where(joint > 0, share * out[None, :], 0.0)
    grad_marginal = tl.where(marginal > 0, -soft * out[None, :], 0.0)
    grad_out = tl.sum(share * tl.maximum(joint, 0.0) - soft * tl.maximum(marginal, 0.0), 0)
    grad_z = grad_joint + tl.gather(grad_marginal, inverse, 0)
    return value, grad_joint + grad_marginal, grad_z, grad_out


@triton.jit
def _index(pointer, row, K: tl.constexpr, ROWS: tl.constexpr, HIDDEN: tl.constexpr):
    """One permutation, repeated for each hidden unit: what tl.gather takes. Padding stays in place."""
    k = tl.arange(0, ROWS)
    entry = tl.load(pointer + row * K + k, mask=k < K, other=0)
    return tl.broadcast_to(tl.where(k < K, entry, k)[:, None], (ROWS, HIDDEN))


@triton.jit
def _train(
    x, z, weight, bias, out, m_weight, m_bias, m_out, v_weight, v_bias, v_out,
    perms, inverses, schedule, value, grad_z, samples, steps,
    K: tl.constexpr, D: tl.constexpr, H: tl.constexpr,
    ROWS: tl.constexpr, HIDDEN: tl.constexpr, TILE: tl.constexpr,
):  # fmt: skip
    i = tl.program_id(0).to(tl.int64)
    k, h, d = tl.arange(0, ROWS), tl.arange(0, HIDDEN), tl.arange(0, TILE)
    rows, units = k < K, h < H
    small = (i * H + h, (samples + i) * H + h)
    dtype: tl.constexpr = x.dtype.element_ty
    wx, wz = i * H * D, (samples + i) * H * D

    proj_x, proj_z = tl.zeros((ROWS, HIDDEN), dtype), tl.zeros((ROWS, HIDDEN), dtype)
    for lo in range(0, D, TILE):
        inside = lo + d < D
        at = k[:, None] * D + (lo + d)[None, :]
        state = h[:, None] * D + (lo + d)[None, :]
        of_samples, of_weights = rows[:, None] & inside[None, :], units[:, None] & inside[None, :]
        xs = tl.load(x + i * K * D + at, mask=of_samples, other=0.0)
        zs = tl.load(z + i * K * D + at, mask=of_samples, other=0.0)
        proj_x = _dot(xs, tl.trans(tl.load(weight + wx + state, mask=of_weights, other=0.0)), proj_x)
        proj_z = _dot(zs, tl.trans(tl.load(weight + wz + state, mask=of_weights, other=0.0)), proj_z)

    for s in range(steps):
        rate, root = tl.load(schedule + 2 * s), tl.load(schedule + 2 * s + 1)
        bias_x = tl.load(bias + small[0], mask=units, other=0.0)
        bias_z = tl.load(bias + small[1], mask=units, other=0.0)
        top = tl.load(out + small[0], mask=units, other=0.0)
        perm = _index(perms, i * (steps + 1) + s, K, ROWS, HIDDEN)
        inverse = _index(inverses, i * (steps + 1) + s, K, ROWS, HIDDEN)
        bound, gx, gz, g_out = _bound(proj_x, proj_z, bias_x + bias_z, top, perm, inverse, rows, K)
        g_bias = tl.sum(gx, 0)  # of both sides
        _ascend(bias, m_bias, v_bias, small[0], units, g_bias, rate, root)
        _ascend(bias, m_bias, v_bias, small[1], units, g_bias, rate, root)
        _ascend(out, m_out, v_out, small[0], units, g_out, rate, root)

        proj_x, proj_z = tl.zeros((ROWS, HIDDEN), dtype), tl.zeros((ROWS, HIDDEN), dtype)
        gx, gz = tl.trans(gx), tl.trans(gz)
        for lo in range(0, D, TILE):
            inside = lo + d < D
            at = k[:, None] * D + (lo + d)[None, :]
            state = h[:, None] * D + (lo + d)[None, :]
            of_samples, of_weights = rows[:, None] & inside[None, :], units[:, None] & inside[None, :]
            for side in tl.static_range(2):
                source = x if side == 0 else z
                p = (wx if side == 0 else wz) + state
                tile = tl.load(source + i * K * D + at, mask=of_samples, other=0.0)
                grad = _dot(gx if side == 0 else gz, tile, tl.zeros((HIDDEN, TILE), dtype))
                _before, w = _ascend(weight, m_weight, v_weight, p, of_weights, grad, rate, root)
                if side == 0:
                    proj_x = _dot(tile, tl.trans(w), proj_x)
                else:
                    proj_z = _dot(tile, tl.trans(w), proj_z)
        # The next step's threads read what other threads of this program wrote.
        tl.debug_barrier()

    both = tl.load(bias + small[0], mask=units, other=0.0) + tl.load(bias + small[1], mask=units, other=0.0)
    top = tl.load(out + small[0], mask=units, other=0.0)
    perm = _index(perms, i * (steps + 1) + steps, K, ROWS, HIDDEN)
    inverse = _index(inverses, i * (steps + 1) + steps, K, ROWS, HIDDEN)
    bound, gx, gz, g_out = _bound(proj_x, proj_z, both, top, perm, inverse, rows, K)
    tl.store(value + i, bound)
    for lo in range(0, D, TILE):
        inside = lo + d < D
        state = h[:, None] * D + (lo + d)[None, :]
        w = tl.load(weight + wz + state, mask=units[:, None] & inside[None, :], other=0.0)
        at = i * K * D + k[:, None] * D + (lo + d)[None, :]
        grad = _dot(gz, w, tl.zeros((ROWS, TILE), dtype))
        tl.store(grad_z + at, grad, mask=rows[:, None] & inside[None, :])


@triton.jit
def _update(
    samples, before, after, weight, first, second, out, rate, root,
    H: tl.constexpr, IN: tl.constexpr, OUT: tl.constexpr,
    ROWS: tl.constexpr, TILE_IN: tl.constexpr, TILE_OUT: tl.constexpr,
):  # fmt: skip
    i = tl.program_id(0).to(tl.int64)
    r, o = tl.arange(0, ROWS), tl.arange(0, TILE_OUT)
    d = tl.program_id(1) * TILE_IN + tl.arange(0, TILE_IN)
    inside = d < IN
    of_inputs = (r < H)[:, None] & inside[None, :]
    dtype: tl.constexpr = weight.dtype.element_ty
    at = i * H * IN + r[:, None] * IN + d[None, :]
    rows = tl.load(samples + at, mask=of_inputs, other=0.0)
    pull = tl.zeros((ROWS, TILE_IN), dtype)
    for lo in range(0, OUT, TILE_OUT):
        units = lo + o < OUT
        of_units = (r < H)[:, None] & units[None, :]
        units_at = i * H * OUT + r[:, None] * OUT + (lo + o)[None, :]
        was = tl.load(before + units_at, mask=of_units, other=0.0)
        now = tl.load(after + units_at, mask=of_units, other=0.0)
        state = i * OUT * IN + (lo + o)[:, None] * IN + d[None, :]
        mask = units[:, None] & inside[None, :]
        grad = _dot(tl.trans(was), rows, tl.zeros((TILE_OUT, TILE_IN), dtype))
        _w, moved = _ascend(weight, first, second, state, mask, grad, rate, root)
        pull = _dot(now, moved, pull)
    tl.store(out + at, pull, mask=of_inputs)


def _power(size: int) -> int:
    """The power of two that holds `size`; a product of matrices takes no fewer than 16."""
    return max(16, triton.next_power_of_2(size))


def _tile(rows: int) -> int:
    return 32 if rows <= 64 else 16


@functools.cache
def room(device: torch.device) -> int:
    """The bytes of shared memory that a program may take on a GPU; 0 where Triton does not start."""
    index = torch.cuda.current_device() if device.index is None else device.index
    try:
        # Triton compiles its driver at the first use, and compares a launch with this number.
        return triton.runtime.driver.active.utils.get_device_properties(index)["max_shared_mem"]
    except Exception as error:  # whatever a compiler that is missing or fails raises
        log.warning(
            "Triton does not start, so critics train on the slower portable engine. It needs a C compiler "
            "and Python's headers (the package python3-dev): %s",
            error,
        )
        return 0


def of_train(rows: int, hidden: int, tile: int, stages: int) -> int:
    """The bytes of shared memory that a program of `train` takes, at most; all sizes are powers of two."""
    samples, weights = (4, 13) if stages > 1 else (1, 1)  # tiles that are there at a time
    return 4 * (2 * rows * hidden + tile * (samples * rows + weights * hidden))


def of_update(rows: int, stages: int) -> int:
    """The same of `update`."""
    units, weights = (4, 7) if stages > 1 else (1, 1)
    return 4 * (rows * TILE_IN + TILE_OUT * (units * rows + weights * TILE_IN))


def stages(vanilla: bool, count: int, hidden: int, room: float) -> int | None:
    """The stages of `train` (of vanilla critics) or `update` that fit the room; None where none do.

    count: K.  hidden: the critics' hidden units.  room: bytes of shared memory.
    """
    rows, units = _power(count), _power(hidden)
    if units > MAX_HIDDEN or (vanilla and rows > MAX_ROWS):
        return None
    for number in STAGES:
        need = of_train(rows, units, _tile(rows), number) if vanilla else of_update(units, number)
        if need <= room:
            return number
    return None


def _options(vanilla: bool, count: int, hidden: int, device: torch.device) -> dict[str, int]:
    """The compiler's options on a device. A launch that does not fit raises Triton's own error."""
    fitting = stages(vanilla, count, hidden, room(device)) if device.type == "cuda" else None
    return {"num_stages": fitting or STAGES[-1]}


def train(
    critics: Critics,
    x: Tensor,
    z: Tensor,
    perms: Tensor,
    tile: int | None = None,
    warps: int | None = None,
) -> tuple[Tensor, Tensor]:
    """`Engine.train` for vanilla critics.

    tile: columns of the weights at a time, a power of two from 16 on.  warps: of a program, a power of two.
    None: what was fastest on an H100 (benchmarks/uae_generation.py).
    """
    count, dim = x.shape[1:]
    (weight, bias), hidden = critics.params[0], critics.out.shape[1]
    # Adam's bias corrections, on the device: a copy from the host would synchronise with it.
    steps = perms.shape[1] - 1
    t = torch.arange(critics.steps + 1, critics.steps + steps + 1, device=x.device, dtype=torch.float64)
    rates = critics.lr / (1 - adam.BETA1**t), (1 - adam.BETA2**t).rsqrt()
    schedule = torch.stack(rates, 1).to(x.dtype)
    value, grad_z = x.new_empty(len(x)), torch.empty_like(z, memory_format=torch.contiguous_format)
    rows = _power(count)
    _train[(len(x),)](
        x.contiguous(),
        z.contiguous(),
        *(weight, bias, critics.out),
        *(*critics.first[0], critics.out_first),
        *(*critics.second[0], critics.out_second),
        perms.to(torch.int32),
        perms.argsort(-1).to(torch.int32),
        schedule,
        value,
        grad_z,
        *(len(x), steps),
        **{"K": count, "D": dim, "H": hidden},
        **{"ROWS": rows, "HIDDEN": _power(hidden), "TILE": tile or _tile(rows)},
        **_options(True, count, hidden, x.device),
        num_warps=warps or (4 if rows <= 64 else 16),
    )
    critics.steps += steps
    return value, grad_z


def update(
    weight: Tensor,
    first: Tensor,
    second: Tensor,
    rows: Tensor,
    before: Tensor,
    after: Tensor,
    rate: float,
    root: float,
) -> Tensor:
    """Adam on weights (2, N, out, in) by before (2, N, H, out).mT @ rows (2, N, H, in), in place.

    Returns after @ weight, of the weights after the step.
    """
    hidden, size = rows.shape[-2:]
    units = weight.shape[-2]
    out = torch.empty_like(rows, memory_format=torch.contiguous_format)
    _update[(rows.shape[0] * rows.shape[1], triton.cdiv(size, TILE_IN))](
        *(rows.contiguous(), before.contiguous(), after.contiguous(), weight, first, second, out),
        *(rate, root),
        **{"H": hidden, "IN": size, "OUT": units},
        **{"ROWS": _power(hidden), "TILE_IN": TILE_IN, "TILE_OUT": TILE_OUT},
        **_options(False, 0, hidden, rows.device),
        num_warps=4,
    )
    return out


class Engine(portable.Engine):
    """Trains float32 critics on a GPU."""

    @staticmethod
    def takes(critics: Critics, count: int, device: torch.device) -> bool:
        """Whether K = `count` samples and the critics' hidden units fit the kernels on a GPU."""
        return stages(len(critics.layers) == 1, count, critics.out.shape[1], room(device)) is not None

    def _train(self, x: Tensor, z: Tensor, perms: Tensor) -> tuple[Tensor, Tensor]:
        if len(self.layers) == 1:
            return train(self.critics, x, z, perms)
        return super()._train(x, z, perms)

    def update_layer(
        self, i: int, rows: Tensor, totals: Tensor, pulled: list[Tensor | None], rate: float, root: float
    ) -> Tensor:
        critics, layer = self.critics, self.layers[i]
        if not isinstance(layer, Linear) or pulled[0] is None:
            return super().update_layer(i, rows, totals, pulled, rate, root)
        (weight, bias), (m, m_bias), (v, v_bias) = critics.params[i], critics.first[i], critics.second[i]
        ascend(bias, layer.bias_gradient(totals, pulled[0]), m_bias, v_bias, rate, root)
        return update(weight, m, v, rows, *pulled, rate, root)
