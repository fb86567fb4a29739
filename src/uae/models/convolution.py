"""Convolutions of our networks that take less time on a CPU than PyTorch's."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

FEW, MANY = 3, 8  # channels of the input and of the result where the kernel is the faster
NARROWEST = 8  # pixels in a row of the image


class Conv2d(nn.Conv2d):
    """`nn.Conv2d`, whose weights it has: the same to 1e-6, with a faster gradient by images of few channels.

    PyTorch is slow from many channels to few, as in the gradient by an image of up to 3 channels. On one
    thread a compiled kernel computes it for square kernels of stride 1. Where threads share an operation
    PyTorch is the faster (benchmarks/README.md). It computes all else, in particular on a GPU, in half
    precision, and in a compiled or exported model. Where the kernel runs, no gradient can be differentiated
    again.
    """

    def forward(self, input: Tensor) -> Tensor:
        if not torch.jit.is_scripting():  # type: ignore[attr-defined]
            padding = self._pixels(input)
            if padding is not None:
                out = self._conv_forward(input.detach(), self.weight, self.bias)
                return _ByInput.apply(out, input, self.weight.detach(), padding)
        return self._conv_forward(input, self.weight, self.bias)

    def _pixels(self, x: Tensor) -> int | None:
        """The pixels of padding on each side if the compiled kernel takes x, else None."""
        if type(x) is not Tensor or torch._C._get_tracing_state() or torch.compiler.is_compiling():
            return None
        size, padding = self.kernel_size[0], self.padding
        if isinstance(padding, str):
            padding = ((size - 1) // 2 if padding == "same" else 0,) * 2
        suits = (
            x.requires_grad
            and torch.is_grad_enabled()
            and torch.get_num_threads() == 1
            and self.in_channels <= FEW
            and self.out_channels >= MANY
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


class UpsampledConv2d(nn.Conv2d):
    """Nearest upsampling by 2 and `nn.Conv2d` with a square odd kernel and "same" padding: the same to 1e-6.

    The rows of an upsampled image are equal in pairs. So the five rows of a 5 x 5 kernel meet three rows of
    the image, and two kernels of three rows give the even and the odd rows of the result. With columns alike,
    these are four kernels of 3 x 3: 9 products in place of 25, and no upsampled image. On a GPU, and in a
    traced or exported model, it is the two operations.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int):
        super().__init__(in_channels, out_channels, kernel_size, padding="same")
        if kernel_size % 2 == 0:
            raise ValueError(f"a convolution of an upsampled image needs an odd kernel, got {kernel_size}")
        above = kernel_size // 2
        self.above = (above + 1) // 2  # rows of the image that a kernel meets above its own
        # Of an even and an odd row of the result: which row of the image each row of the kernel meets.
        taps, rows = torch.arange(-above, above + 1), torch.arange(-self.above, self.above + 1)
        met = torch.stack([taps, taps + 1]).div(2, rounding_mode="floor")
        meets = (met[:, :, None] == rows).float()
        both = torch.einsum("pia,qjb->pqabij", meets, meets)  # columns alike
        self.meets: Tensor
        self.register_buffer("meets", both.flatten(4).flatten(0, 3), persistent=False)

    def forward(self, input: Tensor) -> Tensor:
        if self._by_pytorch(input):
            return self._conv_forward(F.interpolate(input, scale_factor=2.0), self.weight, self.bias)
        size, bias = 2 * self.above + 1, self.bias
        # Channels last, as oneDNN likes them.
        weight = self.meets @ self.weight.permute(0, 2, 3, 1).flatten(1, 2)
        weight = weight.reshape(-1, size, size, self.in_channels).movedim(-1, 1)
        if bias is not None:
            bias = bias.repeat_interleave(4)
        return F.pixel_shuffle(F.conv2d(input, weight, bias, padding=self.above), 2)

    def _by_pytorch(self, input: Tensor) -> bool:
        """Whether the two operations are computed as they are. torch.fx has a stand-in for the tensor."""
        if not torch.jit.is_scripting():  # type: ignore[attr-defined]
            if type(input) not in (Tensor, nn.Parameter) or torch._C._get_tracing_state():
                return True
            # PyTorch cannot differentiate its pixel_shuffle of an empty batch.
            return input.device.type != "cpu" or len(input) == 0
        return False


class _ByInput(torch.autograd.Function):
    """The convolution `out` of x as it is, with its gradient by x from the compiled kernel."""

    @staticmethod
    def forward(ctx: Any, out: Tensor, x: Tensor, weight: Tensor, padding: int) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.padding = padding
        ctx.mark_dirty(out)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        from uae.mine.engines.convolution import narrow  # slow to import

        (weight,) = ctx.saved_tensors
        around = weight.shape[-1] - 1 - ctx.padding
        return grad, narrow(grad.detach(), weight.transpose(0, 1).flip(2, 3), around), None, None
