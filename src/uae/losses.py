"""The losses: an attack keeps them small, but PGD makes them large.

A loss is any callable (x_adv, x) -> (N,). The attack criterion is f = loss - threshold + kappa, and
an attack succeeds where f <= 0. The threshold is the loss of the clean sample, loss(x, x). If the loss sets
`relative = False`, the threshold is 0.

An attack takes its samples in chunks. A loss that knows something about each sample, such as its
label, has a method `subset(rows)` that returns the loss for these rows. If it has a length, that must be
the number of samples. A method `eligible(x)` marks the samples that an attack counts: for a classifier,
those that it classifies correctly. `threaded = True` allows several threads to call deep copies of the loss
at a time.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from uae.contrastive import Contrastive

__all__ = ["Classification", "Contrastive", "CrossEntropy", "Margin", "Reconstruction"]


class Reconstruction:
    """||x - model(x_adv)||_2 of an autoencoder (the unsupervised criterion of section 4).

    model: maps (N, *shape) to (N, *shape); normalisation belongs inside it.
    squared: use the squared norm, as in the released code. At kappa = 0 the successes are the same, but the
        gradients differ.
    """

    relative = True
    threaded = True

    def __init__(self, model: nn.Module, squared: bool = False):
        self.model = model
        self.squared = squared

    def __call__(self, x_adv: Tensor, x: Tensor) -> Tensor:
        output = self.model(x_adv)
        if not isinstance(output, Tensor):
            raise ValueError(
                f"the model gives a {type(output).__name__}: need the reconstruction alone, one tensor"
            )
        if output.shape != x.shape:
            raise ValueError(
                f"the model reconstructs {tuple(x.shape)} as {tuple(output.shape)}: an autoencoder "
                "keeps the shape of its input"
            )
        norm = torch.linalg.vector_norm((x - output).flatten(1), dim=1)
        return norm.square() if self.squared else norm


class Classification:
    """The base of the losses of a classifier.

    model: maps (N, *shape) to logits (N, classes); normalisation belongs inside it.
    labels: (N,) integers, the ground truth.  targets: (N,) integers, the classes that a targeted
        attack aims at; none may be its sample's label.
    check: refuse probabilities instead of logits (rows in [0, 1] that sum to 1).
    Raises ValueError naming the sample, also for a label or target without a logit.
    """

    relative = False
    threaded = True
    sign = 1  # whether PGD increases the loss or, at -1, decreases it; a criterion has -1

    def __init__(
        self,
        model: nn.Module,
        labels: Tensor,
        targeted: bool = False,
        targets: Tensor | None = None,
        check: bool = True,
    ):
        if targeted != (targets is not None):
            raise ValueError("a targeted attack needs targets, and an untargeted one has none")
        self.model, self.labels, self.targets = model, _integers(labels, "labels"), targets
        self.samples = torch.arange(len(labels))  # the positions of these rows in the original labels
        self.check = check
        self.looked = False  # whether some logits were checked: once is enough, because a check stalls a GPU
        if targets is not None:
            self.targets = _integers(targets, "targets").to(self.labels.device)
            if self.targets.shape != self.labels.shape:
                raise ValueError(f"{len(targets)} targets for {len(labels)} labels")
            for i in (self.targets == self.labels).nonzero()[:1, 0].tolist():
                raise ValueError(f"sample {i}: the target {int(targets[i])} is the label")

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, rows: slice | Tensor) -> Classification:
        part = copy.copy(self)
        part.labels, part.samples = _rows(self.labels, rows), _rows(self.samples, rows)
        part.targets = None if self.targets is None else _rows(self.targets, rows)
        return part

    def eligible(self, x: Tensor) -> Tensor:
        """(N,) bool: the samples that the model classifies correctly. Only these can be attacked."""
        with torch.no_grad():
            logits = self._logits(x)
        return _gap(logits, self.labels) > 0

    def __call__(self, x_adv: Tensor, x: Tensor) -> Tensor:
        return self._loss(self._logits(x_adv))

    def evaluate(self, x_adv: Tensor) -> tuple[Tensor, Tensor]:
        """The loss and f_sup, both (N,). f_sup is at most 0 where the attack succeeds."""
        logits = self._logits(x_adv)
        return self._loss(logits), self._margin(logits)

    def check_labels(self, x: Tensor) -> None:
        """Raise ValueError for a label or target, of any sample, without a class of the model."""
        first = self.subset(slice(0, 1))
        first.check = False  # one row may look like probabilities by chance
        with torch.no_grad():
            self._check_range(first._logits(x[:1].clone()).shape[1])  # a model may change its input

    def _loss(self, logits: Tensor) -> Tensor:
        raise NotImplementedError

    def _margin(self, logits: Tensor) -> Tensor:
        if self.targets is None:
            return _gap(logits, self.labels)
        return -_gap(logits, self.targets)

    def _logits(self, x: Tensor) -> Tensor:
        logits = self.model(x)
        if not isinstance(logits, Tensor):
            raise ValueError(f"the model gives a {type(logits).__name__}: need its logits alone, one tensor")
        if logits.ndim != 2 or len(logits) != len(self.labels) or logits.shape[1] < 2:
            raise ValueError(
                f"the model gives {tuple(logits.shape)} for {len(self.labels)} labels: "
                f"need logits of shape ({len(self.labels)}, classes)"
            )
        if not self.looked:
            self._check_range(logits.shape[1])
            if self.check:
                self._check_logits(logits.detach())
            self.looked = True
        # They stay there: a copy at each evaluation would wait for the GPU.
        self.labels = self.labels.to(logits.device)
        self.targets = None if self.targets is None else self.targets.to(logits.device)
        return logits

    def _check_range(self, classes: int) -> None:
        for values, what in ((self.labels, "label"), (self.targets, "target")):
            if values is None:
                continue
            for i in ((values < 0) | (values >= classes)).nonzero()[:1, 0].tolist():
                raise ValueError(
                    f"sample {int(self.samples[i])}: the {what} {int(values[i])} is outside 0..{classes - 1}"
                )

    def _check_logits(self, logits: Tensor) -> None:
        tolerance = 1e-4 if torch.finfo(logits.dtype).eps < 1e-5 else 2e-2
        if (logits >= 0).all() and ((logits.sum(1) - 1).abs() < tolerance).all():
            row = ", ".join(f"{v:.3g}" for v in logits[0, :4].tolist())
            raise ValueError(
                f"sample {int(self.samples[0])}: the model's output ({row}, ...) is in [0, 1] and sums to "
                "1: these look like probabilities. Give the model without its softmax, or set check=False "
                "(uae attack: --probabilities)"
            )


class Margin(Classification):
    """f_sup of section 4, after Carlini and Wagner. It is at most 0 where the attack succeeds.

    Untargeted: logit_y - max of the others. Targeted at y': max of the others - logit_y'.
    kappa is a setting of the attack. For the arguments and errors see `Classification`.
    """

    sign = -1

    def evaluate(self, x_adv: Tensor) -> tuple[Tensor, Tensor]:
        margin = self(x_adv, x_adv)
        return margin, margin

    def _loss(self, logits: Tensor) -> Tensor:
        return self._margin(logits)


class CrossEntropy(Classification):
    """The cross-entropy, which PGD makes large: that of the label or, if targeted, minus that of the target.

    It is no criterion: the other attacks refuse it and take `Margin`.
    For the arguments and errors see `Classification`.
    """

    def _loss(self, logits: Tensor) -> Tensor:
        if self.targets is None:
            return F.cross_entropy(logits, self.labels, reduction="none")
        return -F.cross_entropy(logits, self.targets, reduction="none")


def _rows(values: Tensor, rows: slice | Tensor) -> Tensor:
    """Select some of the values. Labels may be on the host and the rows on a GPU."""
    return values[rows.to(values.device) if isinstance(rows, Tensor) else rows]


def _gap(logits: Tensor, labels: Tensor) -> Tensor:
    """The logit of the label minus the largest other logit, (N,)."""
    own = logits.gather(1, labels[:, None])[:, 0]
    return own - logits.scatter(1, labels[:, None], -torch.inf).amax(1)


def _integers(labels: Tensor, what: str) -> Tensor:
    if not isinstance(labels, Tensor):
        raise ValueError(f"{what} must be a tensor of (N,) integers, got {type(labels).__name__}")
    if labels.ndim != 1 or labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise ValueError(f"{what} must be (N,) integers, got {tuple(labels.shape)}, {labels.dtype}")
    return labels.long()
