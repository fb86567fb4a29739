"""Test per-sample MINE on pairs of known mutual information."""

from __future__ import annotations

import torch

from uae.evaluation import known_information as known
from uae.sampling import RandomSampling
from uae.stages import use
from uae.stages.attack import attack_from
from uae.stages.evaluate.subject import Subject


def estimator(subject: Subject) -> None:
    """Write the record of one attack's critic and one way to sample, which is the model in the path.

    Settings: `attack`, of `Config.attacking`; `nats`, the mutual information values, with `pairs` pairs each;
        `vectors`, the `size` and `norm` of the vectors that random sampling compresses; `maps`, the `count`,
        `height`, `width` and `std` of the maps that replace a convolution's output.
    Each critic trains for the steps of a whole attack, whose perturbation does not change. It runs on
    the CPU, because it is small and a GPU's estimates differ only in the last digits.
    """
    use("cpu")
    subject.device = "cpu"
    settings, seed, model = subject.settings, subject.names.seed, subject.names.model
    attack, maps, truths = attack_from(settings["attack"]), settings["maps"], settings["nats"]
    assert attack.mi is not None  # its critic is on trial
    nats = torch.tensor(truths, dtype=torch.float64).repeat_interleave(settings["pairs"])
    if model == "random-sampling":
        samples = attack.mi.samples
        assert isinstance(samples, RandomSampling)
        count, dim = samples.count, samples.dim
        both = known.vectors(known.correlation(nats, dim), **settings["vectors"], seed=seed)
        found = known.of_vectors(attack.mi, samples, *both, attack.steps, seed)
    else:
        shape = maps["height"], maps["width"]
        count, dim = maps["count"], shape[0] * shape[1]
        rho = known.correlation(nats, dim).float()
        both = known.maps(rho, count, dim, maps["std"], seed)
        found = known.of_maps(attack.mi, shape, *both, attack.steps, seed)
    metrics = _metrics(found.unflatten(1, (len(truths), settings["pairs"])), truths)
    metrics |= {"pairs": settings["pairs"], "compressed_samples": count, "compressed_size": dim}
    subject.save(
        metrics | {"attack_steps": attack.steps},
        {key: settings[key] for key in ("attack", "vectors", "maps")},
        about={"variant": subject.names.dataset, "title": "pairs of correlated Gaussian samples"},
    )


def _metrics(found: torch.Tensor, truths: list[float]) -> dict[str, float]:
    """The metrics of estimates (steps + 1, truths, pairs), at the last step and halfway."""
    last, half = found[-1], found[len(found) // 2]
    metrics = {}
    for i, truth in enumerate(truths):
        metrics[f"mi_estimate@{truth:g}"] = float(last[i].mean())
        metrics[f"mi_estimate_std@{truth:g}"] = float(last[i].std())
        metrics[f"mi_estimate_half@{truth:g}"] = float(half[i].mean())
    return metrics
