"""Per-sample MINE on trial: its estimates of a mutual information that is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from uae import records
from uae.evaluation import known_information as known
from uae.stages import Progress, use
from uae.stages.generate import attack_from

DATA, TITLE = "gaussian-pairs", "pairs of correlated Gaussian samples"


def estimator(
    folder: Path,
    *,
    attacks: dict[str, dict[str, dict[str, Any]]],
    truths: list[float],
    pairs: int,
    vectors: dict[str, Any],
    maps: dict[str, Any],
    seed: int,
    progress: Progress | None = None,
) -> None:
    """Write a record for each way to sample and attack: <folder>/<samples>/<attack>/seed<k>.json.

    attacks: settings of `Config.attacking`, by the way to sample (random-sampling or convolution-output) and
        name.
    truths: mutual information in nats, with so many pairs each.
    vectors: `size` and `norm` of those that random sampling compresses.
    maps: `count`, `height`, `width` and `std` of the maps that stand for a convolution's output.
    Measured after each critic's steps of a whole attack whose perturbation stays as it is, on the CPU.
    """
    use("cpu")
    jobs = [(samples, name) for samples, named in attacks.items() for name in named]
    for number, (samples, name) in enumerate(jobs):
        clock = records.Clock()
        settings = attacks[samples][name]
        attack = attack_from(settings)
        nats = torch.tensor(truths, dtype=torch.float64).repeat_interleave(pairs)
        if samples == "random-sampling":
            count, dim = attack.mi.samples.count, attack.mi.samples.dim
            both = known.vectors(known.correlation(nats, dim), **vectors, seed=seed)
            found = known.of_vectors(attack.mi, attack.mi.samples, *both, attack.steps, seed)
        else:
            shape = maps["height"], maps["width"]
            count, dim = maps["count"], shape[0] * shape[1]
            rho = known.correlation(nats, dim).float()
            both = known.maps(rho, count, dim, maps["std"], seed)
            found = known.of_maps(attack.mi, shape, *both, attack.steps, seed)
        records.Record(
            experiment="estimator",
            dataset=DATA,
            variant=DATA,
            title=TITLE,
            model=samples,
            method=name,
            seed=seed,
            metrics=_metrics(found.unflatten(1, (len(truths), pairs)), truths)
            | {
                "pairs": pairs,
                "compressed_samples": count,
                "compressed_size": dim,
                "attack_steps": attack.steps,
            },
            settings={"attack": settings, "vectors": vectors, "maps": maps},
            provenance={"evaluation": clock.provenance(settings, records.device_name("cpu"))},
        ).save(records.path(folder / samples, name, seed))
        if progress:
            progress(number + 1, len(jobs), f"settings, {samples}, {name}")


def _metrics(found: torch.Tensor, truths: list[float]) -> dict[str, float]:
    """Of estimates (steps + 1, truths, pairs): at the last step, and halfway."""
    last, half = found[-1], found[len(found) // 2]
    metrics = {}
    for i, truth in enumerate(truths):
        metrics[f"mi_estimate@{truth:g}"] = float(last[i].mean())
        metrics[f"mi_estimate_std@{truth:g}"] = float(last[i].std())
        metrics[f"mi_estimate_half@{truth:g}"] = float(half[i].mean())
    return metrics
