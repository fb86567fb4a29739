"""Products of samples with K Gaussian matrices, kept or drawn anew at every step (appendix A.1).

On a CPU the product takes a few matrices at a time, which stay in the cache with the samples. With all at
once it took 1.2 to 1.5 times as long. Redrawn matrices are not kept.

PyTorch multiplies by MKL, which uses no AVX-512 on CPUs of AMD. There oneDNN is 2.1 times as fast, measured
on a Zen 5.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from uae import seeding

ROWS = 512  # of the matrices: at least so many at a time
TOGETHER = 2**22  # numbers drawn at a time, by all threads; a last-level cache of 32 MiB holds them


@functools.cache
def onednn_is_faster() -> bool:
    """Whether this is a CPU of AMD with AVX-512, and PyTorch multiplies by MKL and has oneDNN's product."""
    cpus = Path("/proc/cpuinfo")
    return (
        torch.backends.cpu.get_cpu_capability() == "AVX512"
        and torch.backends.mkl.is_available()
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
        and cpus.is_file()
        and "AuthenticAMD" in cpus.read_text(encoding="utf-8", errors="replace")
    )


def linear(x: Tensor, weight: Tensor) -> Tensor:
    """x (N, d) by weight (R, d): (N, R), computed by oneDNN. PyTorch's compiler uses the same operation."""
    product: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")
    return product


class Projections:
    """`count` matrices of dim x size for samples like x (N, *shape), whose entries have a deviation of `std`.

    redraw: each step has other matrices, drawn during the product. Otherwise all steps have the same, which
        are kept.
    """

    def __init__(self, count: int, dim: int, std: float, redraw: bool, seed: int, x: Tensor):
        self.count, self.dim, self.std, self.redraw, self.seed = count, dim, std, redraw, seed
        self.size, self.dtype, self.device = x[0].numel(), x.dtype, x.device
        self.on_cpu = x.device.type == "cpu"
        usual = self.on_cpu and x.dtype == torch.float32 and torch.backends.mkldnn.enabled
        self.by_onednn = usual and onednn_is_faster()

    @functools.cached_property
    def kept(self) -> Tensor:
        """The matrices of all steps, (count * dim, size), drawn when first used."""
        generator = torch.Generator().manual_seed(seeding.derive(self.seed, "random-sampling/0"))
        rows = torch.randn(self.count * self.dim, self.size, generator=generator, dtype=self.dtype)
        return rows.mul_(self.std).to(self.device)

    def project(self, step: int, *batches: Tensor) -> tuple[Tensor, ...]:
        """M_k x of each batch (N, *shape): (N, count, dim). One drawing serves all batches."""
        flat = [x.flatten(1) for x in batches]
        out = [x.new_empty(len(x), self.count * self.dim) for x in flat]
        for rows, matrix in self._parts(step, -(-ROWS // self.dim) if self.on_cpu else self.count):
            for x, projected in zip(flat, out, strict=True):
                if self.by_onednn:
                    projected[:, rows] = linear(x, matrix)
                else:
                    torch.mm(x, matrix.mT, out=projected[:, rows])
        return tuple(projected.unflatten(1, (self.count, self.dim)) for projected in out)

    def pull(self, step: int, grad: Tensor) -> Tensor:
        """The transposed product: the sum over k of M_k^T grad_k, (N, size), of grad (N, count, dim)."""
        grad = grad.flatten(1)
        out = grad.new_zeros(len(grad), self.size)
        # MKL gains nothing from parts here. oneDNN reorders the matrices, which should stay in the cache.
        for rows, matrix in self._parts(step, -(-ROWS // self.dim) if self.by_onednn else self.count):
            if self.by_onednn:
                out += linear(grad[:, rows], matrix.mT)
            else:
                out.addmm_(grad[:, rows], matrix)
        return out

    def _parts(self, step: int, at_once: int) -> Iterator[tuple[slice, Tensor]]:
        """All rows of the step's matrices, of `at_once` matrices at a time. Drawn ones are not kept."""
        if not self.redraw:
            yield from self._split(self.kept, 0, at_once)
            return
        together = max(1, (TOGETHER if self.on_cpu else 4 * TOGETHER) // (self.dim * self.size))
        for first in range(0, self.count, together):
            yield from self._split(self._draw(step, first, min(together, self.count - first)), first, at_once)

    def _split(self, matrices: Tensor, first: int, at_once: int) -> Iterator[tuple[slice, Tensor]]:
        start = first * self.dim
        for part in matrices.split(at_once * self.dim):
            yield slice(start, start + len(part)), part
            start += len(part)

    def _draw(self, step: int, first: int, count: int) -> Tensor:
        """Matrices first..first + count - 1 of a step, one below the other. Each has a stream."""
        index, purpose = torch.arange(first, first + count, device=self.device), f"random-sampling/{step}"
        dtype = torch.promote_types(self.dtype, torch.float32)
        if self.on_cpu and find_spec("numba"):
            from uae.mine.engines.gaussian import gaussian  # slow to import

            out = torch.empty(count, self.dim * self.size, dtype=dtype)
            gaussian(self.seed, index, purpose, self.std, out)
        else:
            out = seeding.gaussian(self.seed, index, purpose, self.dim * self.size).to(dtype).mul_(self.std)
        return out.to(self.dtype).view(count * self.dim, self.size)


class Project(torch.autograd.Function):
    """`Projections.project` of x, which may be differentiated, and of others, which may not."""

    @staticmethod
    def forward(ctx, projections, step, x, *others):  # type: ignore[no-untyped-def]
        ctx.projections, ctx.step, ctx.shape = projections, step, x.shape
        ctx.set_materialize_grads(False)
        found = projections.project(step, x, *others)
        ctx.mark_non_differentiable(*found[1:])
        return found

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad, *_):  # type: ignore[no-untyped-def]
        wanted = grad is not None and ctx.needs_input_grad[2]
        pulled = ctx.projections.pull(ctx.step, grad).view(ctx.shape) if wanted else None
        return None, None, pulled, *(None for _ in _)
