"""Measure autoencoders, for Tables 4 to 6, 8 and 9, and select Figure 5's images."""

from __future__ import annotations

import numpy as np
import torch

from uae import augmentation
from uae.attacks import AttackResult
from uae.data import prepared
from uae.evaluation import reconstruction as measures
from uae.evaluation import representation
from uae.methods import Method
from uae.models.concrete import Concrete
from uae.stages.evaluate.subject import Subject

SHOWN = 10  # images of Figure 5 at most


def reconstruction(subject: Subject) -> None:
    """Write the record of one model.

    Inputs: `uae`, the sets that the model was trained with; `parents`, the models that these sets attack;
    `original`, the row's first model, on which an augmentation's success rate is measured.
    """
    names, model, run = subject.names, subject.model, subject.run
    assert names.method is not None  # of a record
    x_train, method, sets = subject.x("train"), Method(names.method), subject.sets()
    metrics = {
        "test_error": measures.error(model, subject.x("test")),
        "train_error": measures.error(model, x_train),
    }
    if isinstance(model, Concrete):
        metrics |= _representation(model, subject.source, names.seed)
    settings = run["settings"]
    if sets:  # after a second round, only the UAEs that it added
        settings = settings | {"attack": sets[-1].metadata["attack"]}
        metrics |= describe(sets[-1], x_train.cpu())
    elif method.sigma is not None:
        noisy = augmentation.gaussian(x_train, method.sigma, names.seed, names.draw or 0)
        metrics["asr"] = measures.success_rate(subject.other("original"), x_train, noisy)
    subject.save(metrics, settings, sets=sets[-1:])


def _representation(model: Concrete, source: prepared.Prepared, seed: int) -> dict[str, float]:
    """The accuracy of the selected features and the number of distinct ones (Table 6)."""
    features = model.features.cpu().numpy()
    x_train, x_test = (source.unit(part).numpy() for part in ("train", "test"))
    split = (x_train, source.y_train, x_test, source.y_test)
    return {
        "accuracy": representation.accuracy(features, *split, seed=seed),
        "accuracy_one_hot": representation.accuracy(features, *split, seed=seed, one_hot=True),
        "certainty": model.certainty,
        "features": len(features),
        "distinct_features": len(set(features.tolist())),
    }


def describe(result: AttackResult, x: torch.Tensor) -> dict[str, float]:
    """The ASR, the median change of the successes, and their mean step, MI and perturbation."""
    means = result.means(x)
    return {"asr": result.success_rate, "success_change": result.median_change(x)} | means


def figure5(subject: Subject) -> None:
    """Select the successful UAEs with the largest perturbation (appendix B.2).

    Writes original, uae and their reconstructions by the original model, float32 (n, C, H, W).
    """
    (result,), x = subject.sets(), subject.x("train").cpu()
    norms = (result.adv - x).flatten(1).norm(dim=1)
    rows = torch.where(result.success, norms, -1).argsort(descending=True, stable=True)
    rows = rows[: min(SHOWN, int(result.success.sum()))]
    images = {"original": x[rows], "uae": result.adv[rows]}
    images |= {
        f"{name}_reconstruction": measures.reconstruct(subject.model, image.to(subject.device)).cpu()
        for name, image in images.items()
    }
    arrays: dict[str, np.ndarray] = {name: image.numpy() for name, image in images.items()}
    arrays |= {"index": rows.numpy(), "norm": norms[rows].numpy(), "mi": result.mi[rows].numpy()}
    subject.show(arrays, method=subject.names.method, asr=result.success_rate)
