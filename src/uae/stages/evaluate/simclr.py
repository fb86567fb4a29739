"""Measure SimCLR models (section 5.6, appendix I)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from uae import seeding
from uae.attacks import PGD, AttackResult
from uae.evaluation import knn, robustness
from uae.evaluation import simclr as measures
from uae.losses import CrossEntropy
from uae.models.simclr import SimCLR
from uae.stages.evaluate.autoencoders import describe
from uae.stages.evaluate.subject import Subject
from uae.training import linear


def contrastive(subject: Subject) -> None:
    """Write the record of one model, for Table 7 and Figure 10 (b).

    Inputs: `uae`, the sets that the model was trained with; `parents`, the models that these sets attack.
    Settings: those of `config.simclr.Contrastive.measuring`.
    """
    model, run, settings, sets = subject.model, subject.run, subject.settings, subject.sets()
    assert isinstance(model, SimCLR)
    used, metrics = run["settings"] | {"evaluation": settings}, dict(run["arguments"])
    train, test = ((subject.x(part), subject.y(part)) for part in ("train", "test"))
    metrics |= measure(model, *train, *test, settings, subject.names.seed)
    for result in sets:
        used |= {"attack": result.metadata["attack"], "loss": result.metadata["loss"]}
        metrics |= describe(result, subject.x("train").cpu())
    subject.save(metrics, used, sets=sets)


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
