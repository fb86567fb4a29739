"""Convolutions from or to few channels, by the faster of PyTorch's and a compiled kernel."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

FEW, MANY = 3, 8  # channels of the two sides where the kernel is the faster
NARROWEST = 8  # pixels in a row of the result


class Conv2d(nn.Conv2d):
    """`nn.Conv2d`, whose weights it has: the same to 1e-6, and faster from or to few channels.

    PyTorch is slow from many channels to few: in the gradient by images of up to 3 channels, and in the
    convolution to as few. On one thread a compiled kernel computes these for square kernels of stride 1.
    Where threads share an operation PyTorch is the faster (benchmarks/README.md). It computes all else, in
    particular on a GPU, in half precision, and in a compiled or exported model. The module cannot be
    differentiated twice.
    """

    def forward(self, input: Tensor) -> Tensor:
        if not torch.jit.is_scripting():  # type: ignore[attr-defined]
            padding = self._pixels(input)
            if padding is not None:
                # In two parts: an attack asks for the gradient by the input alone, and one function of both
                # would not see that.
                out = _ByWeight.apply(input.detach(), self.weight, self.bias, padding)
                return _ByInput.apply(out, input, self.weight.detach(), padding)
        return self._conv_forward(input, self.weight, self.bias)

    def _pixels(self, x: Tensor) -> int | None:
        """The pixels of padding on each side if the compiled kernel takes x, else None."""
        if type(x) is not Tensor or torch._C._get_tracing_state() or torch.compiler.is_compiling():
            return None
        size, padding, few = self.kernel_size[0], self.padding, min(self.in_channels, self.out_channels)
        if isinstance(padding, str):
            padding = ((size - 1) // 2 if padding == "same" else 0,) * 2
        suits = (
            torch.get_num_threads() == 1
            and few <= FEW
            and max(self.in_channels, self.out_channels) >= MANY
            and x.device.type == "cpu"
            and x.dtype == self.weight.dtype
            and x.dtype in (torch.float32, torch.float64)
            and x.ndim == 4
            and x.shape[1] == self.in_channels
            and len(x) > 0
            and min(x.shape[2:]) >= NARROWEST + size
            and self.kernel_size == (size, size)
            and (size % 2 == 1 or self.padding != "same")
            and padding[0] == padding[1] < size
            and self.stride == self.dilation == (1, 1)
            and self.groups == 1
            and self.padding_mode == "zeros"
            and not torch.is_autocast_enabled("cpu")
            and not torch._C._are_functorch_transforms_active()
            and find_spec("numba") is not None
        )
        return int(padding[0]) if suits else None


def _narrow(x: Tensor, weight: Tensor, bias: Tensor | None, padding: int) -> Tensor:
    from uae.mine.engines.convolution import narrow  # slow to import

    return narrow(x.detach(), weight.detach(), None if bias is None else bias.detach(), padding)


def _gradients(
    grad: Tensor, x: Tensor, weight: Tensor, padding: int, wanted: tuple[bool, ...] = (False, True, False)
) -> tuple[Any, ...]:
    """PyTorch's, by x, weight and bias."""
    one, around = [1, 1], [padding, padding]
    return torch.ops.aten.convolution_backward(
        grad, x, weight, None, one, around, one, False, [0, 0], 1, wanted
    )


class _ByWeight(torch.autograd.Function):
    """The convolution, with its gradients by weight and bias."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, padding: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.padding = padding
        if len(weight) <= FEW:
            return _narrow(x, weight, bias, padding)
        return F.conv2d(x, weight, bias, padding=padding)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        of_bias = grad.sum((0, 2, 3)) if ctx.needs_input_grad[2] else None
        if len(weight) > FEW:
            return None, _gradients(grad, x, weight, ctx.padding)[1], of_bias, None
        # The same sum with the parts exchanged, from few channels to many, which is faster.
        around = weight.shape[-1] - 1 - ctx.padding
        turned = _gradients(x, grad, weight.transpose(0, 1), around)[1]
        return None, turned.transpose(0, 1).flip(2, 3), of_bias, None


class _ByInput(torch.autograd.Function):
    """The convolution `out` of x as it is, with its gradient by x."""

    @staticmethod
    def forward(ctx: Any, out: Tensor, x: Tensor, weight: Tensor, padding: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.padding = padding
        ctx.mark_dirty(out)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (x, weight), of_x = ctx.saved_tensors, None
        if ctx.needs_input_grad[1] and len(weight) <= FEW:
            of_x = _gradients(grad, x, weight, ctx.padding, (True, False, False))[0]
        elif ctx.needs_input_grad[1]:
            around = weight.shape[-1] - 1 - ctx.padding
            of_x = _narrow(grad, weight.transpose(0, 1).flip(2, 3), None, around)
        return grad, of_x, None, None
