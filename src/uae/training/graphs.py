"""Training steps as CUDA graphs: on a GPU a small network's step takes less time than its launches."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

WARM_UP = 3  # steps before the capture: optimisers make their states, libraries choose their kernels

Input = Tensor | float


class Graphed:
    """`update(*inputs) -> loss`, one training step, replayed as a CUDA graph where its inputs are on a GPU.

    The graph holds the kernels of a step with inputs of the first call's shapes; others (an epoch's last,
    smaller batch) run as they are, and so do the first steps, and all steps on a CPU.

    update: all that changes from step to step is in `inputs`; on a GPU numbers come as tensors. Weights,
        buffers and optimiser states stay where they are. Random numbers come from PyTorch's default
        generator. It never waits for the device.
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
        """A step on the stream of the capture: autograd keeps the stream that it met a weight on."""
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            loss = self.update(*tensors)
        torch.cuda.current_stream().wait_stream(self.stream)
        return loss


def rate(value: float, device: torch.device) -> float | Tensor:
    """A learning rate for an optimiser; on a GPU a tensor, which `set_rate` can change within a graph."""
    return torch.tensor(value, device=device) if device.type == "cuda" else value


def set_rate(optimizer: torch.optim.Optimizer, value: Input) -> None:
    """Set the learning rate of all weights, in place where it is a tensor."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].copy_(torch.as_tensor(value))
        else:
            group["lr"] = value
