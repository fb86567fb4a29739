"""Compressed samples: K vectors from one sample, on which MINE can be trained (section 3.1).

A sampler is bound to a model and a batch once, and then maps batches (N, *shape) to (N, K, D).
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from uae import limits, memory
from uae.projections import Project, Projections

log = logging.getLogger(__name__)

# Samples at a time on a CPU: fewer waste calls, more push a small model's activations out of the cache.
CPU_SAMPLES = 64
NO_LAYERS = (
    "{} was exported, scripted or traced (it is a {}): no layer's output can be taken; use RandomSampling, "
    "mi=uae.MINE(samples=uae.RandomSampling()), or give the module that it was made from"
)
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


@dataclass(frozen=True)
class Features:
    """A bound sampler. `compute(x, step)` is differentiable; `map_shape` is (height, width) or None.

    redrawn: where each step has other features, (x_adv, x, step) to those of both, by x_adv differentiable.
    standardize: the critics standardise each compressed sample, of mean 0 and variance 1, before they see it.
    cpu_samples: how many samples at a time suit a CPU.  threaded: whether its threads may take samples
    of their own rather than share each operation; `compute` must hold nothing but its model.
    what: names them in errors.
    """

    compute: Callable[[Tensor, int], Tensor]
    redrawn: Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor]] | None = None
    standardize: bool = False
    map_shape: tuple[int, int] | None = None
    cpu_samples: int = CPU_SAMPLES
    threaded: bool = False
    what: str = "the features"


@dataclass(frozen=True)
class RandomSampling:
    """x_k = M_k x with K Gaussian matrices of size dim x d (appendix A.1).

    power: the entries' standard deviation is dim ** -power: 1 / dim in the paper. The released code
        uses 1/2, standardises each compressed sample and redraws the matrices at every evaluation.
    The matrices are the same for every sample of a data set. Raises ValueError where the memory that is
    available does not hold those that are kept.
    """

    count: int = 500
    dim: int = 128
    power: float = 1.0
    standardize: bool = False
    redraw: bool = False

    def __post_init__(self) -> None:
        limits.check_counts(self, "count", "dim")
        limits.check_numbers(self, "power", zero=True)
        if self.count < 2:
            raise ValueError(f"random sampling needs count (K) >= 2: {self}")

    def bind(self, model: nn.Module | None, x: Tensor, seed: int) -> Features:
        if not self.redraw:
            self._check_memory(x)
        std = self.dim**-self.power
        projections = Projections(self.count, self.dim, std, self.redraw, seed, x)
        return Features(
            lambda x, step: Project.apply(projections, step, x)[0],
            redrawn=(lambda x_adv, x, step: Project.apply(projections, step, x_adv, x))
            if self.redraw
            else None,
            standardize=self.standardize,
            # All matrices go by for each batch, drawn or read from memory: the larger, the better.
            cpu_samples=512,
            what="the random projections",
        )

    def _check_memory(self, x: Tensor) -> None:
        row = x[0].numel() * x.itemsize
        need = self.count * self.dim * row
        free = min(memory.available(device) for device in {torch.device("cpu"), x.device})
        if need <= 0.9 * free:
            return
        rows = int(free / 2 / row)  # the other half is for the model
        count, dim = min(self.count, rows // self.dim), self.dim
        if count < 2:
            count, dim = 2, max(1, rows // 2)
        raise ValueError(
            f"random projections of samples of shape {tuple(x.shape[1:])} take {need / 1e9:.1f} GB (count="
            f"{self.count} matrices of {self.dim} x {x[0].numel()}), and {free / 1e9:.1f} GB of memory are "
            f"free: take fewer, mi=uae.MINE(samples=uae.RandomSampling(count={count}, dim={dim})), or a "
            "layer of the loss's `model`, mi=uae.MINE(samples=uae.ConvolutionOutput('name'))"
        )


@dataclass(frozen=True)
class ConvolutionOutput:
    """The K feature maps of a convolution, flattened (appendix A.2).

    layer: dotted name of the module whose output is taken, that of its first call in a forward pass; None is
        the model's first convolution. Name the module after it to include its activation, as the released
        code does.
    A compiled model is run uncompiled for it. One that was exported, scripted or frozen shows no layers.
    """

    layer: str | None = None

    def bind(self, model: nn.Module | None, x: Tensor, seed: int) -> Features:
        if not isinstance(model, nn.Module):
            raise ValueError(
                "convolution output needs a loss with a `model`, an nn.Module; use RandomSampling instead"
            )
        x = x[:1].clone()  # the model may change it
        module = self._module(model, x)
        with torch.no_grad():
            output = _output_of(module, model, x)
        if not isinstance(output, Tensor):
            raise ValueError(
                f"{type(module).__name__} layer gives a {type(output).__name__}: "
                "convolution output needs one tensor, (N, K, ...)"
            )
        shape = output.shape
        if len(shape) < 3:
            raise ValueError(
                f"{type(module).__name__} layer gives an output of shape {tuple(shape)}: "
                "convolution output needs feature maps, (N, K, ...)"
            )
        return Features(
            lambda x, step: _output_of(module, model, x).flatten(2),
            map_shape=(shape[2], shape[3]) if len(shape) == 4 else None,
            threaded=True,
            what=f"the output of layer {next(n for n, m in model.named_modules() if m is module)!r}",
        )

    def _module(self, model: nn.Module, x: Tensor) -> nn.Module:
        if fixed(model):
            raise ValueError(NO_LAYERS.format("the model", type(model).__name__))
        if self.layer is not None:
            try:
                module = model.get_submodule(self.layer)
            except AttributeError:
                names = ", ".join(name for name, _ in model.named_modules() if name)
                raise ValueError(f"the model has no layer {self.layer!r}; it has: {names}") from None
            if fixed(module):
                raise ValueError(NO_LAYERS.format(f"layer {self.layer!r}", type(module).__name__))
            return module
        found = [module for module in model.modules() if isinstance(module, CONVOLUTIONS)]
        if not found:
            raise ValueError("the model has no convolution: use RandomSampling")
        with torch.no_grad():
            return _reached(found, model, x)[0]


class _Reached(Exception):
    pass


def _reached(modules: Sequence[nn.Module], model: nn.Module, x: Tensor) -> tuple[nn.Module, Tensor]:
    """The first of the modules that runs when the model runs on x, and what it puts out.

    Nothing after it runs, and no hook remains.
    """
    first: list[tuple[nn.Module, Tensor]] = []

    def stop(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        first.append((module, output))
        raise _Reached

    handles = []
    try:
        for module in modules:
            handles.append(module.register_forward_hook(stop))
        with uncompiled(model):
            model(x)
    except _Reached:
        return first[0]
    finally:
        for handle in handles:
            handle.remove()
    raise ValueError(
        f"the forward pass of {type(model).__name__} never reaches {modules[0]}: name a layer that it calls, "
        "uae.ConvolutionOutput('name'), or use RandomSampling"
    )


def _output_of(module: nn.Module, model: nn.Module, x: Tensor) -> Tensor:
    return _reached([module], model, x)[1]


def default_for(model: object) -> ConvolutionOutput | RandomSampling:
    """The paper's rule: the first convolution's output whenever there is one, else random sampling.

    A model that is no nn.Module, such as a function, shows no convolution: random sampling.
    """
    modules = model.modules() if isinstance(model, nn.Module) else ()
    if isinstance(model, nn.Module) and fixed(model):
        log.warning(
            "%s: an exported, scripted or traced model shows no layers: MINE sees random projections of its "
            "input, whether or not it begins with a convolution",
            type(model).__name__,
        )
        return RandomSampling()
    has_convolution = any(isinstance(module, CONVOLUTIONS) for module in modules)
    return ConvolutionOutput() if has_convolution else RandomSampling()


def fixed(model: nn.Module) -> bool:
    """Whether torch.export or torch.jit made it: no hook sees its layers, and its mode may not be set."""
    return isinstance(model, torch.jit.ScriptModule) or "eval" in vars(model)


def compiled(module: nn.Module) -> bool:
    """Whether calling it runs code that torch.compile made, which does not look for new hooks."""
    return (
        "_orig_mod" in module._modules
        or getattr(module, "_compiled_call_impl", None) is not None
        or hasattr(module.forward, "_torchdynamo_orig_callable")
    )


def uncompiled(model: nn.Module) -> contextlib.AbstractContextManager[object]:
    """In it the model runs as it is written."""
    if any(compiled(module) for module in model.modules()):
        return torch.compiler.set_stance("force_eager")
    return contextlib.nullcontext()
