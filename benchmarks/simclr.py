"""How fast SimCLR is trained: ratios of things measured in one run, as JSON.

    python benchmarks/simclr.py                                 # ResNet-18, batches of 512
    python benchmarks/simclr.py --width 8 --batch-size 64       # what a laptop can do

Images per second of the package's training; the share of the device's peak that they mean, where the
peak is the best of large matrix products in the same run; and the ratio to a plain loop: torchvision's
transforms in a DataLoader, float32, contiguous images, the loss read in each step. The plain loop
runs on the same images, and has every core for its workers.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode
from torchvision.transforms import v2

from uae import models
from uae.contrastive import autocast, nt_xent
from uae.training import simclr


class TwoViews(Dataset):
    """Two views of each image, as torchvision makes them."""

    def __init__(self, images: torch.Tensor):
        self.images = images
        self.transform = v2.Compose(
            [
                v2.RandomResizedCrop(images.shape[-1], scale=(0.08, 1.0)),
                v2.RandomHorizontalFlip(),
                v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.4, 0.1)], 0.8),
                v2.RandomGrayscale(0.2),
            ]
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, torch.Tensor]:
        return self.transform(self.images[row]), self.transform(self.images[row])


def network(width: int, size: int) -> nn.Module:
    torch.manual_seed(0)
    return models.build("simclr", (3, size, size), width=width)


def ours(images: torch.Tensor, width: int, batch_size: int, epochs: int, compile: bool) -> float:
    """Images per second, from the second epoch on: the first one warms up, and compiles."""
    model, marks = network(width, images.shape[-1]).to(images.device), []

    def mark(done: int, loss: float) -> None:  # the loop has just read the epoch's losses: all is computed
        marks.append(time.perf_counter())

    simclr.fit(
        model, images, lr=1.0, warmup=0, batch_size=batch_size, epochs=epochs + 1, seed=0, progress=mark,
        compile=compile,
    )  # fmt: skip
    used = len(images) // batch_size * batch_size
    return epochs * used / (marks[-1] - marks[0])


def plain(images: torch.Tensor, width: int, batch_size: int, epochs: int, device: str, workers: int) -> float:
    """Images per second of the plain loop, from the second epoch on."""
    model = network(width, images.shape[-1]).to(memory_format=torch.contiguous_format).to(device).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
    loader = DataLoader(
        TwoViews(images), batch_size, shuffle=True, drop_last=True, num_workers=workers,
        persistent_workers=workers > 0, pin_memory=device == "cuda",
    )  # fmt: skip
    start, steps = 0.0, 0
    for epoch in range(epochs + 1):
        for first, second in loader:
            z = model(torch.cat([first, second]).to(device))
            loss = nt_xent(z.unflatten(0, (2, len(first))))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss.item()
            steps += epoch > 0
        start = start or time.perf_counter()
    return steps * batch_size / (time.perf_counter() - start)


def flops_per_image(width: int, size: int) -> float:
    """Of the network, forward and backward on two views; a multiplication and an addition are two."""
    model = network(width, size).train()
    with FlopCounterMode(display=False) as counter:
        nt_xent(model(torch.rand(8, 3, size, size)).unflatten(0, (2, 4))).backward()
    return counter.get_total_flops() / 4


def peak(device: torch.device) -> float:
    """FLOP per second of the best of ten large matrix products, in the precision of the training."""
    n = 8192 if device.type == "cuda" else 2048
    with autocast(device):
        a, b = torch.rand(2, n, n, device=device).unbind()
        if torch.is_autocast_enabled(device.type):
            a, b = a.bfloat16(), b.bfloat16()
        best = 0.0
        for _ in range(10):
            start = time.perf_counter()
            a @ b
            if device.type == "cuda":
                torch.cuda.synchronize()
            best = max(best, 2 * n**3 / (time.perf_counter() - start))
    return best


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=5120, help="images, drawn at random")
    parser.add_argument("--size", type=int, default=32, help="their height and width")
    parser.add_argument("--width", type=int, default=64, help="of the ResNet-18")
    parser.add_argument("--batch-size", type=int, default=512)
    parser.add_argument("--epochs", type=int, default=3, help="measured epochs")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="of the plain loop's DataLoader")
    parser.add_argument("--compile", action="store_true", help="by torch.compile")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)

    generator = torch.Generator().manual_seed(0)
    images = torch.rand(arguments.images, 3, arguments.size, arguments.size, generator=generator)
    rate = ours(images.to(device), arguments.width, arguments.batch_size, arguments.epochs, arguments.compile)
    flops = flops_per_image(arguments.width, arguments.size)
    best = peak(device)
    slow = plain(
        images, arguments.width, arguments.batch_size, arguments.epochs, device.type, arguments.workers
    )
    print(
        json.dumps(
            {
                "case": f"SimCLR, ResNet-18 of width {arguments.width}, {arguments.size} x {arguments.size}, "
                f"batches of {arguments.batch_size}" + (", torch.compile" if arguments.compile else ""),
                "device": torch.cuda.get_device_name()
                if device.type == "cuda"
                else platform.processor() or "CPU",
                "threads": torch.get_num_threads(),
                "torch": torch.__version__,
                "images_per_second": {"ours": rate, "torchvision and DataLoader": slow},
                "ratio_to_plain_loop": rate / slow,
                "workers_of_plain_loop": arguments.workers,
                "gflop_per_image": flops / 1e9,
                "gflop_per_second": rate * flops / 1e9,
                "peak_gflop_per_second": best / 1e9,
                "share_of_peak": rate * flops / best,
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
