"""Unsupervised adversarial examples: the method of the paper, for any PyTorch model.

>>> import uae
>>> uae.MinMaxAttack(eps=0.5).steps
40
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    # A type checker does not run `__getattr__` below.
    from uae import losses, models
    from uae.attacks import PGD, AttackResult, MinMaxAttack, PenaltyAttack
    from uae.augmentation import Augmented, augment
    from uae.mine import MINE
    from uae.sampling import ConvolutionOutput, RandomSampling

    __version__: str

__all__ = [
    "MINE",
    "PGD",
    "AttackResult",
    "Augmented",
    "ConvolutionOutput",
    "MinMaxAttack",
    "PenaltyAttack",
    "RandomSampling",
    "augment",
    "losses",
    "models",
]

_HOMES = {
    "AttackResult": "uae.attacks",
    "Augmented": "uae.augmentation",
    "ConvolutionOutput": "uae.sampling",
    "MINE": "uae.mine",
    "MinMaxAttack": "uae.attacks",
    "PGD": "uae.attacks",
    "PenaltyAttack": "uae.attacks",
    "RandomSampling": "uae.sampling",
    "augment": "uae.augmentation",
}


def __getattr__(name: str) -> Any:
    # Loaded on first use: configuration and rendering are in this package, too, and need no torch.
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name in ("losses", "models"):
        return importlib.import_module(f"uae.{name}")
    if name == "__version__":
        from importlib.metadata import version  # slow, and the submodule `metadata` is another

        return version("uae-repro")
    raise AttributeError(f"module 'uae' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
