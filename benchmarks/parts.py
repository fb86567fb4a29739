"""The parts of an attack as shares of the matrix product's speed, and old implementations against new.

    GOMP_SPINCOUNT=20000 python benchmarks/parts.py      # as `uae` runs: random sampling and convolutions
    python benchmarks/parts.py --quick      # fewer images and turns
    OMP_NUM_THREADS=1 python benchmarks/parts.py --cpu-time      # on a machine with other work on it

The parts of a ratio are measured in turns in one process, and the median is taken. An evaluation is one of an
attack's T + 1 = 41 steps: the loss, the features, 20 steps of the critics, and the gradients. `cost_model.py`
counts its operations. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).parents[1]))

import uae
from benchmarks.cost_model import CASES, CPU_CACHE, Machine
from benchmarks.uae_generation import product, setup
from uae import losses, models, sampling, seeding
from uae.attacks.problem import Problem
from uae.mine import Estimator
from uae.mine.engines.portable import standardized
from uae.models.convolution import Conv2d, UpsampledConv2d
from uae.stages import use

PAPER = sampling.RandomSampling()
RELEASED = sampling.RandomSampling(power=0.5, standardize=True, redraw=True)
COUNT, DIM, PIXELS = PAPER.count, PAPER.dim, 784
CLOCK = time.perf_counter

Timed = dict[str, Callable[[], object]]


def turns(functions: Timed, repeats: int) -> dict[str, float]:
    """The median seconds of each, after one call that is not counted."""
    taken: dict[str, list[float]] = {name: [] for name in functions}
    for turn in range(repeats + 1):
        for name, function in functions.items():
            start = CLOCK()
            function()
            if turn:
                taken[name].append(CLOCK() - start)
    return {name: statistics.median(times) for name, times in taken.items()}


def flops(seconds: float, size: int = 1536) -> float:
    return 2 * size**3 / seconds


def evaluation(network: str, samples: sampling.RandomSampling | None, images: Tensor) -> Callable[[], object]:
    """One evaluation of an attack on the images and the step after it."""
    torch.manual_seed(0)
    model = models.build(network, tuple(images.shape[1:])).eval()
    return attacking(model, samples, images)


def attacking(
    model: nn.Module, samples: sampling.RandomSampling | None, images: Tensor
) -> Callable[[], object]:
    mine = uae.MINE(samples=samples)
    released = {"init": "noise", "c0": 1e-3} if samples is RELEASED else {}
    features = (samples or sampling.ConvolutionOutput()).bind(model, images, 0)
    index, stop = torch.arange(len(images)), threading.Event()
    attack, loss = uae.MinMaxAttack(mi=mine, **released), losses.Reconstruction(model)
    problem = Problem(attack, loss, images, 0, index, features, stop)
    c = problem.clean.new_full(problem.clean.shape, 0.1)
    delta = problem.start()
    point = problem(delta)

    def step() -> None:
        nonlocal delta, point
        delta = problem.descend(delta, c, point)
        point = problem(delta)

    return step


def of_sampling(n: int, repeats: int) -> dict:
    """Random sampling at K = 500, d' = 128 on MNIST images: the parts and the whole."""
    _, images = setup("cpu", n)
    x_adv, index = (images + 0.1).clamp(0, 1), torch.arange(n)
    kept, drawn = (sampling.Projections(COUNT, DIM, 0.1, redraw, 0, images) for redraw in (False, True))
    (features,) = kept.project(0, images)
    (other,) = kept.project(0, x_adv)
    grad = torch.rand(n, COUNT, DIM)
    flat, flat_grad = x_adv.flatten(1), grad.flatten(1)
    engines = {
        name: Estimator(uae.MINE(), features, None, 0, index, standardize=name == "standardised").engine
        for name in ("plain", "standardised")
    }
    purpose, steps = "permutation/0", uae.MINE().inner_steps
    perms = engines["plain"].permutations(0, index, purpose, steps + 1, COUNT)

    def standardised() -> Tensor:
        """Forward and backward, as autograd did it before the critics standardised as they read."""
        leaf = other.clone().requires_grad_()
        return torch.autograd.grad(standardized(leaf)[0], leaf, grad)[0]

    every = CASES[1].evaluations
    forward = 2 * n * COUNT * DIM * PIXELS
    critic = n * CASES[1].operations() / every
    taken = turns(
        {
            "peak": product(1536),
            "paper's settings": evaluation("dense", PAPER, images),
            "released settings": evaluation("dense", RELEASED, images),
            "projection, forward": lambda: kept.project(0, x_adv),
            "projection, backward": lambda: kept.pull(0, grad),
            "projection, forward, all matrices at once": lambda: flat @ kept.kept.mT,
            "projection, backward, all matrices at once": lambda: flat_grad @ kept.kept,
            "projection, redrawn, both sides": lambda: drawn.project(1, x_adv, images),
            "projection, redrawn, backward": lambda: drawn.pull(1, grad),
            "critic": lambda: engines["plain"].train(features, other, perms),
            "critic, standardising": lambda: engines["standardised"].train(features, other, perms),
            "standardisation, apart": standardised,
            "drawing": lambda: sum(len(rows) for _, rows in drawn._parts(1, COUNT)),
            "drawing, Mersenne Twister": lambda: torch.randn(COUNT * DIM, PIXELS),
            "permutations": lambda: engines["plain"].permutations(0, index, purpose, steps + 1, COUNT),
            "permutations, sorted": lambda: seeding.permutations(0, index, purpose, steps + 1, COUNT),
        },
        repeats,
    )
    peak = flops(taken.pop("peak"))
    operations = {
        "paper's settings": 2 * forward + critic,
        "released settings": 3 * forward + critic,
        "projection, redrawn, both sides": 2 * forward,
        "critic": critic,
        "critic, standardising": critic,
    }
    operations |= {
        name: forward for name in taken if name.startswith("projection") and name not in operations
    }
    ratio = {name: taken[name] / taken["paper's settings"] for name in taken}
    return {
        "images": n,
        "gflop_per_second": peak / 1e9,
        "share_of_the_peak": {name: count / taken[name] / peak for name, count in operations.items()},
        "milliseconds_per_image": {name: 1e3 * time / n for name, time in taken.items()},
        "ratio_to_an_evaluation_in_the_paper's_settings": ratio,
        "released_settings_to_the_paper's": {
            "time": ratio["released settings"],
            "operations": operations["released settings"] / operations["paper's settings"],
        },
        "old_to_new": {
            "projection, forward": taken["projection, forward, all matrices at once"]
            / taken["projection, forward"],
            "projection, backward": taken["projection, backward, all matrices at once"]
            / taken["projection, backward"],
            "drawing": taken["drawing, Mersenne Twister"] / taken["drawing"],
            "permutations": taken["permutations, sorted"] / taken["permutations"],
            "standardisation": (taken["critic"] + taken["standardisation, apart"])
            / taken["critic, standardising"],
        },
    }


def plain(model: nn.Module) -> nn.Module:
    """The network with PyTorch's convolutions."""
    for module in model.modules():
        if isinstance(module, Conv2d | UpsampledConv2d):
            module.__class__ = Upsampled if isinstance(module, UpsampledConv2d) else nn.Conv2d
    return model


class Upsampled(nn.Conv2d):
    """`UpsampledConv2d` as written."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(functional.interpolate(input, scale_factor=2.0))


def of_convolutions(n: int, repeats: int) -> dict:
    """The convolutional autoencoder on one thread, as attacks and most jobs run it: an evaluation of the
    attack, and a step of its training."""
    _, images = setup("cpu", n)
    torch.set_num_threads(1)

    def build() -> nn.Module:
        torch.manual_seed(0)
        return models.build("convolutional", (1, 28, 28)).eval()

    def training(model: nn.Module) -> Callable[[], object]:
        return lambda: (model(images) - images).square().mean().backward()

    taken = turns(
        {
            "peak": product(512),
            "attack": attacking(build(), None, images),
            "attack, PyTorch's convolutions": attacking(plain(build()), None, images),
            "training": training(build()),
            "training, PyTorch's convolutions": training(plain(build())),
        },
        4 * repeats,
    )
    peak = flops(taken.pop("peak"), 512)
    limit = CASES[0].seconds(Machine("this machine", peak, 1e12), CPU_CACHE)[0] / CASES[0].evaluations
    return {
        "threads": torch.get_num_threads(),
        "images": n,
        "gflop_per_second": peak / 1e9,
        "ratio_to_the_critic's_limit": {
            name: taken[name] / n / limit for name in taken if name.startswith("attack")
        },
        "milliseconds_per_image": {name: 1e3 * time / n for name, time in taken.items()},
        "old_to_new": {
            name: taken[f"{name}, PyTorch's convolutions"] / taken[name] for name in ("attack", "training")
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=512, help="images of a batch with random sampling")
    parser.add_argument("--repeats", type=int, default=7, help="turns, of which the median counts")
    parser.add_argument("--quick", action="store_true", help="128 images and 3 turns")
    parser.add_argument("--cpu-time", action="store_true", help="CPU seconds in place of the clock's")
    arguments = parser.parse_args()
    use("cpu")
    if arguments.cpu_time:
        if torch.get_num_threads() > 1:
            parser.error("--cpu-time is for one thread: set OMP_NUM_THREADS=1")
        global CLOCK
        CLOCK = time.process_time
    n, repeats = (128, 3) if arguments.quick else (arguments.samples, arguments.repeats)
    before = os.getloadavg()[0]
    report = {
        "threads": torch.get_num_threads(),
        "GOMP_SPINCOUNT": os.getenv("GOMP_SPINCOUNT"),
        "torch": torch.__version__,
        "seconds": "of the CPU" if arguments.cpu_time else "of the clock",
        "random_sampling": of_sampling(n, repeats),
        "convolutional": of_convolutions(64, repeats),
    }
    print(json.dumps(report | {"load_average": [before, os.getloadavg()[0]]}, indent=1))


if __name__ == "__main__":
    main()
