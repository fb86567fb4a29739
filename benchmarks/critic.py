"""Which critics estimate: rates and inner steps on pairs of known mutual information, as a Markdown table.

    python benchmarks/critic.py

`mine-uae-trained` of config/config.yaml is chosen by it. The pairs are of a seed that no record uses. A
critic qualifies where its mean estimate of independent pairs is within 0.1 nats of 0, at the last step and
halfway. Of those the one with the largest estimates is taken: the Donsker-Varadhan bound is from below.
"""

from __future__ import annotations

import argparse

import torch

import uae
from uae.evaluation import known_information as known

TRUTHS = [0.0, 1.0, 4.0, 16.0, 64.0, 256.0]
RATES, INNER = [1.5e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2], [20, 100]
SAMPLINGS = {
    "fixed matrices": uae.RandomSampling(),
    "redrawn, standardised": uae.RandomSampling(power=0.5, standardize=True, redraw=True),
    "16 maps of 28 x 28": None,
}
TOLERANCE = 0.1  # nats, of independent pairs


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=4)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--inner", type=int, nargs="+", default=INNER)
    parser.add_argument("--rates", type=float, nargs="+", default=RATES)
    parser.add_argument("--samples", nargs="+", default=list(SAMPLINGS), choices=SAMPLINGS)
    given = parser.parse_args()
    nats = torch.tensor(TRUTHS, dtype=torch.float64).repeat_interleave(given.pairs)
    heads = ["samples", "inner steps", "rate", *(f"{t:g}" for t in TRUTHS), "0, halfway", "qualifies"]
    print("| " + " | ".join(heads) + " |\n" + "|---" * len(heads) + "|")
    for name, sampling in ((name, SAMPLINGS[name]) for name in given.samples):
        for inner in given.inner:
            for rate in given.rates:
                mine = uae.MINE(inner_steps=inner, lr=rate)
                if sampling is None:
                    both = known.maps(known.correlation(nats, 784).float(), 16, 784, 0.25, given.seed)
                    found = known.of_maps(mine, (28, 28), *both, given.steps, given.seed)
                else:
                    both = known.vectors(known.correlation(nats, sampling.dim), 784, 9.2, given.seed)
                    found = known.of_vectors(mine, sampling, *both, given.steps, given.seed)
                means = found.unflatten(1, (len(TRUTHS), given.pairs)).mean(2)
                last, half = means[-1].tolist(), means[len(means) // 2].tolist()
                qualifies = max(abs(last[0]), abs(half[0])) <= TOLERANCE
                cells = [
                    name,
                    inner,
                    f"{rate:g}",
                    *(f"{v:.2f}" for v in last),
                    f"{half[0]:.2f}",
                    "yes" * qualifies,
                ]
                print("| " + " | ".join(map(str, cells)) + " |", flush=True)


if __name__ == "__main__":
    main()
