"""Training loops: how each kind of model is fitted.

Those of `FITS` have one signature: fit(model, x, *, target=None, <the recipe's settings>, **options) -> the
mean training loss of each epoch. x (N, *shape) is the input, already on the model's device; target is what
the output is compared with: of x's shape (x itself by default), or for `CLASSIFIERS` the labels (N,). For
the options see `loop.Options`. `linear` fits a classifier on features.
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
