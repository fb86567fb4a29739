"""Chunks of samples on several threads of a CPU.

A chunk's work is too small for PyTorch's own threads, which share each operation: on two cores of a CPU the
attack on 256 images by a convolutional autoencoder took 1.3 times as long with them (docs/performance.md).
"""

from __future__ import annotations

import copy
import logging
import threading
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import TypeVar

import torch
from torch import Tensor, nn

from uae.sampling import compiled

Loss = Callable[[Tensor, Tensor], Tensor]
Context = TypeVar("Context")
Result = TypeVar("Result")
FEWEST = 16  # fewer samples do not justify a separate chunk

log = logging.getLogger(__name__)


class Stopped(Exception):
    """Raised within a chunk when another chunk has failed or the user has interrupted."""


def suitable(loss: Loss, device: torch.device) -> bool:
    """Whether copies of the loss may be called from several threads.

    Only losses with `threaded` qualify, and no network with hooks: a copied hook is the same function, and
    would mix the values of several threads. A thread does not inherit its caller's autocast.
    """
    model = getattr(loss, "model", None)
    return (
        device.type == "cpu"
        and getattr(loss, "threaded", False)
        and isinstance(model, nn.Module)
        and not any(hooked(module) for module in model.modules())
        and not torch.is_autocast_enabled("cpu")
    )


def hooked(module: nn.Module) -> bool:
    """Whether a module is compiled, or has hooks or a `forward` that a copy would share."""
    return (
        "forward" in vars(module)
        or any(hooks for name, hooks in vars(module).items() if name.endswith("_hooks"))
        or compiled(module)
    )


def copies(loss: Loss, count: int) -> list[Loss]:
    """Copies of the loss. Each has a separate network, so networks may keep state.

    They share the parameters, which an attack only reads.
    """
    if count == 1:
        return [loss]
    try:
        model = getattr(loss, "model", None)
        parameters = model.parameters() if isinstance(model, nn.Module) else ()
        shared = {id(parameter): parameter for parameter in parameters}
        return [copy.deepcopy(loss, dict(shared)) for _ in range(count)]
    except Exception as error:  # a user's network may raise anything when it is copied
        log.warning("the attack uses one thread: the loss cannot be copied (%s)", error)
        return [loss]


def in_order(
    work: Callable[[Context, slice, threading.Event], Result], chunks: list[slice], contexts: list[Context]
) -> Generator[Result, None, None]:
    """Yield work(context, chunk, stop) for all chunks in order. No two run at a time with one context.

    If one fails, `stop` is set for the others and the error is raised.
    """
    stop = threading.Event()
    if len(contexts) == 1 or len(chunks) < 2:
        yield from (work(contexts[0], chunk, stop) for chunk in chunks)
        return
    free: SimpleQueue[Context] = SimpleQueue()
    for context in contexts:
        free.put(context)

    def one(chunk: slice) -> Result:
        if stop.is_set():
            raise Stopped
        context = free.get()
        try:
            return work(context, chunk, stop)
        except BaseException:
            stop.set()
            raise
        finally:
            free.put(context)

    at_hand = torch.get_num_threads()
    each = max(1, at_hand // len(contexts))
    pool = ThreadPoolExecutor(len(contexts), initializer=torch.set_num_threads, initargs=(each,))
    try:
        futures = [pool.submit(one, chunk) for chunk in chunks]
        for future in futures:
            yield future.result()
    except Stopped:
        errors = (future.exception() for future in futures)
        raise next(error for error in errors if error and not isinstance(error, Stopped)) from None
    finally:
        stop.set()  # before waiting, because a second Ctrl-C may interrupt the wait
        try:
            pool.shutdown()
        finally:
            # PyTorch also gives a worker's setting to threads that it has not seen.
            torch.set_num_threads(at_hand)


class Done:
    """Report to the caller's `progress`. An unfinished chunk counts by its share of steps."""

    def __init__(self, progress: Callable[[int, int], None] | None, total: int, before: int):
        self.progress, self.total, self.before = progress, total, before
        self.chunks: dict[int, int] = {}
        self.lock = threading.Lock()

    def __call__(self, rows: slice, samples: int) -> None:
        if self.progress is not None:
            with self.lock:
                self.chunks[rows.start] = samples
                self.progress(self.before + sum(self.chunks.values()), self.total)
