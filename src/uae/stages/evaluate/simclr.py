"""Measure SimCLR models (section 5.6, appendix I)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from uae import checkpoints, identity, records, seeding
from uae.attacks import PGD, AttackResult
from uae.data import prepared
from uae.evaluation import knn, robustness
from uae.evaluation import simclr as measures
from uae.losses import CrossEntropy
from uae.models.simclr import SimCLR
from uae.stages import Progress, use
from uae.stages.evaluate import writing
from uae.stages.evaluate.autoencoders import describe
from uae.training import linear


def contrastive(
    target: Path,
    *,
    data: Path,
    checkpoint: Path,
    parents: Sequence[Path] = (),
    uae: Sequence[Path] = (),
    settings: dict[str, Any],
    device: str = "cpu",
    progress: Progress | None = None,
) -> None:
    """Write the record of one model, for Table 7 and Figure 10 (b).

    uae: the sets that the model was trained with.  parents: the models that these sets attack.
    settings: those of `config.simclr.Contrastive.measuring`.
    """
    use(device)
    clock, names = records.Clock(), identity.names(target)
    source = prepared.load(data)
    x_train, x_test = (source.unit(part).to(device) for part in ("train", "test"))
    y_train, y_test = (torch.from_numpy(y).to(device) for y in (source.y_train, source.y_test))
    model, run = checkpoints.load(checkpoint, device)
    assert isinstance(model, SimCLR)
    files = {data: source.metadata, checkpoint: run}
    files |= {path: checkpoints.load(path)[1] for path in parents}
    provenance, used = {"training": run["provenance"]}, run["settings"] | {"evaluation": settings}
    metrics = {"epochs": len(run["history"]), "steps": run["steps"], **run["arguments"]}
    metrics |= {"n_train": run["n_train"], "n_test": len(x_test)}
    metrics |= measure(model, x_train, y_train, x_test, y_test, settings, names.seed)
    for path in uae:
        result = AttackResult.load(path)
        files[path] = result.metadata
        provenance["attack"] = result.metadata["provenance"]
        used |= {"attack": result.metadata["attack"], "loss": result.metadata["loss"]}
        metrics |= describe(result, x_train.cpu())
    provenance["evaluation"] = clock.provenance(settings, records.device_name(device))
    writing.record(
        target,
        data=source.metadata,
        metrics=metrics,
        settings=used,
        provenance=provenance,
        files=files,
        run=run,
    )


def measure(
    model: SimCLR,
    x_train: Tensor,
    y_train: Tensor,
    x_test: Tensor,
    y_test: Tensor,
    settings: dict[str, Any],
    seed: int,
) -> dict[str, float]:
    """Measure contrastive loss, linear and kNN accuracy on the test set, and success rates of PGD by eps.

    The linear classifier and the neighbours always use the original training images, even if the encoder was
    trained on others.
    """
    classes = int(y_train.max()) + 1
    train, test = linear.features(model.encoder, x_train), linear.features(model.encoder, x_test)
    torch.manual_seed(seeding.derive(seed, "linear"))
    head = nn.Linear(train.shape[1], classes).to(train.device)
    linear.fit(head, train, y_train, seed=seed, **settings["linear"])
    accuracy, cross_entropy = measures.linear(head, test, y_test)
    nearest = knn.predict(
        test, train, y_train, k=settings["neighbours"], temperature=settings["temperature"], classes=classes
    )
    loss = measures.loss(
        model, x_test, batch_size=settings["batch_size"], temperature=settings["temperature"], seed=seed
    )
    metrics = {
        "contrastive_loss": loss,
        "linear_accuracy": accuracy,
        "linear_cross_entropy": cross_entropy,
        "knn_accuracy": (nearest == y_test).double().mean().item(),
    }
    return metrics | _pgd(nn.Sequential(model.encoder, head).eval(), x_test, y_test, settings["pgd"], seed)


def _pgd(
    classifier: nn.Module, x: Tensor, y: Tensor, settings: dict[str, Any], seed: int
) -> dict[str, float]:
    rows = robustness.attacked(classifier, x, y, settings["images"], seed)

    def attack(model: nn.Module, x: Tensor, y: Tensor, eps: float) -> AttackResult:
        pgd = PGD(eps=eps, steps=settings["steps"], step_size=settings["step_size"])
        return pgd(CrossEntropy(model, y), x, seed=seed, index=rows)

    rates = robustness.curve(classifier, x[rows], y[rows], attack, settings["eps"])
    return {f"asr@{rate.eps:g}": rate.value for rate in rates} | {"n_attacked": len(rows)}
