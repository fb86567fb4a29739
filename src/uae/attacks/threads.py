"""Chunks of samples on several threads of a CPU, one thread a chunk.

A chunk's work is too small for PyTorch's own threads, which share each operation: on two cores of a CPU the
attack on a convolutional autoencoder took 1.3 times as long with them (docs/performance.md).
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import TypeVar

import torch
from torch import Tensor, nn

Loss = Callable[[Tensor, Tensor], Tensor]
Context, Result = TypeVar("Context"), TypeVar("Result")
FEWEST = 16  # samples that are worth a chunk of their own


class Stopped(Exception):
    """Raised by a chunk's work when another's has failed or the user has interrupted."""


def copies(loss: Loss, device: torch.device, samples: int) -> list[Loss]:
    """The loss for each thread, with a model of its own: one that remembers something may do so.

    The loss alone on a GPU, where its model can't be told from the rest of it or can't be copied.
    """
    count = min(torch.get_num_threads(), samples // FEWEST) if device.type == "cpu" else 1
    if count < 2 or not isinstance(getattr(loss, "model", None), nn.Module):
        return [loss]
    try:
        return [copy.deepcopy(loss) for _ in range(count)]
    except (RuntimeError, TypeError):  # tensors of a graph, handles of files
        return [loss]


def in_order(
    work: Callable[[Context, slice, threading.Event], Result], chunks: list[slice], contexts: list[Context]
) -> Iterator[Result]:
    """work(context, chunk, stop) of all chunks, in their order; no two at a time share a context."""
    stop = threading.Event()
    if len(contexts) == 1 or len(chunks) < 2:
        yield from (work(contexts[0], chunk, stop) for chunk in chunks)
        return
    threads = torch.get_num_threads()
    free: SimpleQueue[Context] = SimpleQueue()
    for context in contexts:
        free.put(context)

    def one(chunk: slice) -> Result:
        context = free.get()
        try:
            return work(context, chunk, stop)
        finally:
            free.put(context)

    try:
        with ThreadPoolExecutor(len(contexts), initializer=torch.set_num_threads, initargs=(1,)) as pool:
            try:
                yield from pool.map(one, chunks)
            except BaseException:
                stop.set()
                raise
    finally:
        torch.set_num_threads(threads)  # a thread's own setting is also the next threads' first
