"""Unsupervised adversarial examples: the method of the paper, for any PyTorch model."""

from uae import losses
from uae.attacks import AttackResult, MinMaxAttack
from uae.mine import MINE
from uae.sampling import ConvolutionOutput, RandomSampling

__version__ = "0.1.0"

__all__ = [
    "MINE",
    "AttackResult",
    "ConvolutionOutput",
    "MinMaxAttack",
    "RandomSampling",
    "losses",
]
