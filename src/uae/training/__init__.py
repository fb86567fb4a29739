"""Training loops, one for each kind of model.

The functions in `FITS` have one signature: fit(model, x, *, target=None, <the recipe's settings>,
**options). They return the mean training loss of each epoch. x (N, *shape) is the input, already on the
model's device. The output is compared with target: it has x's shape (x itself by default) or, for
`CLASSIFIERS`, it has the labels (N,). `loop.Options` describes the options. `linear` fits a classifier on
features.
"""

from __future__ import annotations

from collections.abc import Callable

from uae.training import adversarial, autoencoder, classifier, concrete, robust, simclr
from uae.training.loop import steps_per_epoch

FITS: dict[str, Callable[..., list[float]]] = {
    "autoencoder": autoencoder.fit,
    "adversarial": adversarial.fit,
    "concrete": concrete.fit,
    "simclr": simclr.fit,
    "classifier": classifier.fit,
    "robust": robust.fit,
}
CLASSIFIERS = {"classifier", "robust"}

__all__ = ["CLASSIFIERS", "FITS", "steps_per_epoch"]
