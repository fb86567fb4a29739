"""Training loops: how each kind of model is fitted.

Those of `FITS` have one signature: fit(model, x, *, target=None, <the recipe's settings>, **options) -> the
mean training loss of each epoch. x (N, *shape) is the input, already on the model's device; target, of the
same shape, is what the output is compared with (x itself by default); for the options see `loop.Options`.
Those of classifiers (`classifier`, `robust`, `linear`) take labels y after x.
"""

from __future__ import annotations

from collections.abc import Callable

from uae.training import adversarial, autoencoder, concrete, simclr
from uae.training.loop import steps_per_epoch

FITS: dict[str, Callable[..., list[float]]] = {
    "autoencoder": autoencoder.fit,
    "adversarial": adversarial.fit,
    "concrete": concrete.fit,
    "simclr": simclr.fit,
}

__all__ = ["FITS", "steps_per_epoch"]
