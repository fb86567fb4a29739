"""What generating a UAE costs by count: operations and bytes, and the limit they set on a machine.

    python benchmarks/cost_model.py        # the tables of docs/performance.md

Counts are for one image. A product of (K, in) and (in, out) counts 2 * K * in * out operations; Adam
counts `ADAM` for each weight, with a square root and a division as one each, which flatters hardware.
"""

from __future__ import annotations

from dataclasses import dataclass

from uae.mine.critics import Convolution, build_layers

ADAM = 13
FLOAT = 4  # bytes


@dataclass(frozen=True)
class Machine:
    """flops: float32 operations a second, without tensor cores.  bandwidth: of memory, bytes a second."""

    name: str
    flops: float
    bandwidth: float


H100 = Machine("H100 SXM", 66.9e12, 3.35e12)


@dataclass(frozen=True)
class Case:
    """One image: K compressed samples of `dim`, T attack steps of `inner_steps` critic steps each.

    pixels: size of the image, for random sampling; None for convolution output.
    """

    name: str
    critic: str
    count: int
    dim: int
    map_shape: tuple[int, int] | None = None
    pixels: int | None = None
    redraw: bool = False
    hidden: int = 10
    steps: int = 40
    inner_steps: int = 20

    def layers(self) -> list[tuple[int, int, int]]:
        """(rows, in, out) of the matrix products of one side, H rows of it; a convolution's are patches."""
        found = []
        for layer in build_layers(self.critic, self.dim, self.map_shape, self.hidden):
            units, size = layer.shapes()["weight"]
            patches = layer.units // layer.filters if isinstance(layer, Convolution) else 1
            found.append((self.hidden * patches, size, units))
        return found

    @property
    def evaluations(self) -> int:
        return self.steps + 1

    @property
    def critic_steps(self) -> int:
        return self.evaluations * self.inner_steps

    @property
    def weights(self) -> int:
        """Of both sides, without the biases and the output."""
        return 2 * sum(size * units for _, size, units in self.layers())

    def projection(self) -> int:
        """Operations that project the samples of both sides on the units."""
        return 2 * 2 * self.count * self.dim * self.hidden

    def scores(self) -> int:
        """Of the output layer: every marginal score, and the mean of the joint ones."""
        return 2 * (self.count + 1) * self.hidden

    def step_products(self) -> int:
        """Of one critic step: the samples on the units and the units' gradient on the samples; then, for all
        layers but the last, H rows up, the weights' gradient, and H rows down the moved weights."""
        layers = 2 * sum(3 * 2 * rows * size * units for rows, size, units in self.layers()[:-1])
        return 2 * self.projection() + layers + self.scores()

    def evaluation_products(self) -> int:
        """After the steps: the bound, and its gradient by the perturbed side."""
        return self.projection() + self.scores() + self.projection() // 2

    def adam(self) -> int:
        return ADAM * self.weights

    def operations(self) -> float:
        """All critic steps and evaluations of one image."""
        return self.critic_steps * (self.step_products() + self.adam()) + (
            self.evaluations * self.evaluation_products()
        )

    def state_bytes(self) -> int:
        """Weights and two moments."""
        return 3 * FLOAT * self.weights

    def step_bytes(self) -> int:
        """Of one step whose state is not on chip: read and written once, and the weights read once more
        where rows go up through them, before the last layer's have moved."""
        again = FLOAT * self.weights if len(self.layers()) > 1 else 0
        return 2 * self.state_bytes() + again + 2 * FLOAT * self.count * self.dim

    def sampling(self) -> float:
        """Random sampling's projections: forward and backward, and the clean sample's if redrawn."""
        if self.pixels is None:
            return 0
        return self.evaluations * (3 if self.redraw else 2) * 2 * self.count * self.dim * self.pixels

    def resident(self, cache: float) -> bool:
        return self.state_bytes() <= cache

    def moved(self, cache: float) -> float:
        """Bytes through memory for one image, if `cache` bytes can keep a state through an evaluation."""
        if self.resident(cache):
            return self.evaluations * (2 * self.state_bytes() + 3 * FLOAT * self.count * self.dim)
        return self.critic_steps * self.step_bytes()

    def seconds(self, machine: Machine, cache: float) -> tuple[float, str]:
        """The least time of one image, and what sets it."""
        arithmetic = (self.operations() + self.sampling()) / machine.flops
        memory = self.moved(cache) / machine.bandwidth
        return max(arithmetic, memory), "arithmetic" if arithmetic >= memory else "memory"


CASES = [
    Case("vanilla, convolution output", "vanilla", 16, 784),
    Case("vanilla, random sampling", "vanilla", 500, 128, pixels=784),
    Case("released, convolution output", "released", 16, 784, map_shape=(28, 28)),
    Case("released, random sampling, redrawn", "released", 500, 128, pixels=784, redraw=True),
]
CPU_CACHE, H100_CACHE = 512 * 1024, 227 * 1024  # a core's L2; a multiprocessor's shared memory


def _digits(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}"


def tables(core: Machine) -> str:
    """Two tables in Markdown: counts, and limits on one CPU core and on an H100."""
    rows = [
        "| critic and sampler | weights | state | products a step | Adam a step | bytes a step, state not on "
        "chip | all critic steps | sampler |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for c in CASES:
        cells = [
            f"{c.name}, K {c.count}, D {c.dim}",
            f"{c.weights / 1e3:,.1f} k",
            f"{c.state_bytes() / 1e3:,.0f} kB",
            f"{c.step_products() / 1e6:,.2f} MFLOP",
            f"{c.adam() / 1e6:,.2f} MFLOP",
            f"{c.step_bytes() / 1e6:,.2f} MB",
            f"{c.operations() / 1e9:,.1f} GFLOP",
            f"{c.sampling() / 1e9:,.1f} GFLOP",
        ]
        rows.append(f"| {' | '.join(cells)} |")
    rows += [
        "",
        f"| at most, images per second | {core.name} | bound by | {H100.name} | bound by | 60,000 images |",
        "|---|---|---|---|---|---|",
    ]
    for c in CASES:
        cpu, cpu_bound = c.seconds(core, CPU_CACHE)
        gpu, gpu_bound = c.seconds(H100, H100_CACHE)
        limits = f"{_digits(1 / cpu)} | {cpu_bound} | {_digits(1 / gpu)} | {gpu_bound}"
        rows.append(f"| {c.name} | {limits} | {_digits(60_000 * gpu)} s |")
    return "\n".join(rows)


# One core of the machine that docs/performance.md names, as `uae_generation.py` measured it.
CORE = Machine("one CPU core (80 GFLOP/s, 10 GB/s)", 80e9, 10e9)

if __name__ == "__main__":
    print(tables(CORE))
