"""Attacks: frozen settings, called on a loss and a batch of samples."""

from uae.attacks.minmax import MinMaxAttack
from uae.attacks.penalty import PenaltyAttack
from uae.attacks.pgd import PGD
from uae.attacks.result import AttackResult

__all__ = ["PGD", "AttackResult", "MinMaxAttack", "PenaltyAttack"]
