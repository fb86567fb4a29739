"""Training steps as CUDA graphs, because launching a small network's step takes longer than computing it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

WARM_UP = 3  # steps before the capture, in which optimisers make states and libraries choose kernels

Input = Tensor | float


class Graphed:
    """`update(*inputs) -> loss`, one training step. If its inputs are on a GPU, a CUDA graph replays it.

    The graph holds the kernels of a step with inputs of the first call's shapes. Other shapes (an epoch's
    last, smaller batch), the first steps, and all steps on a CPU run without the graph.

    update: everything that changes between steps must be in `inputs`; on a GPU numbers are tensors. Weights,
        buffers and optimiser states keep their addresses. Random numbers come from PyTorch's default
        generator. It must not synchronise with the device.
    """

    def __init__(self, update: Callable[..., Tensor]):
        self.update = update
        self.calls = 0
        self.graph: torch.cuda.CUDAGraph | None = None
        self.inputs: list[Tensor] = []

    def __call__(self, batch: Tensor, *others: Input) -> Tensor:
        device = batch.device
        if device.type != "cuda":
            return self.update(batch, *others)
        with torch.cuda.device(device):  # a capture and the current stream are those of the current device
            return self._on_gpu(device, batch, *others)

    def _on_gpu(self, device: torch.device, batch: Tensor, *others: Input) -> Tensor:
        tensors = [i if isinstance(i, Tensor) else torch.full((), i, device=device) for i in (batch, *others)]
        if not self.inputs:
            self.stream, self.inputs = torch.cuda.Stream(device), [t.clone() for t in tensors]
        if any(t.shape != static.shape for t, static in zip(tensors, self.inputs, strict=True)):
            return self.update(*tensors)
        self.calls += 1
        if self.calls <= WARM_UP:
            return self._aside(tensors)
        for static, tensor in zip(self.inputs, tensors, strict=True):
            static.copy_(tensor)
        if self.graph is None:
            self.graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graph, stream=self.stream):
                self.loss = self.update(*self.inputs)
        self.graph.replay()
        return self.loss.clone()

    def _aside(self, tensors: list[Tensor]) -> Tensor:
        """Run a step on the capture's stream: autograd keeps the stream on which it first used a weight."""
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            loss = self.update(*tensors)
        torch.cuda.current_stream().wait_stream(self.stream)
        return loss


def rate(value: float, device: torch.device) -> float | Tensor:
    """A learning rate for an optimiser. On a GPU it is a tensor: `set_rate` can change it in a graph."""
    return torch.tensor(value, device=device) if device.type == "cuda" else value


def set_rate(optimizer: torch.optim.Optimizer, value: Input) -> None:
    """Set the learning rate of all weights; in place if it is a tensor."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].copy_(torch.as_tensor(value))
        else:
            group["lr"] = value
