"""Checks of settings, with errors that name the setting."""

from __future__ import annotations

import math
from numbers import Integral


def is_count(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= 1


def check_counts(settings: object, *names: str) -> None:
    """Raise ValueError unless these settings are whole numbers from 1."""
    for name in names:
        value = getattr(settings, name)
        if not is_count(value):
            raise ValueError(f"{name} must be a whole number from 1, got {value}")


def check_numbers(settings: object, *names: str, zero: bool = False) -> None:
    """Raise ValueError unless these settings are finite numbers above 0, or 0 if `zero`."""
    for name in names:
        value = getattr(settings, name)
        try:
            number = math.nan if isinstance(value, bool | str) else float(value)
        except (TypeError, ValueError, RuntimeError):  # the last from a tensor of several numbers
            number = math.nan
        if not (0 < number < math.inf or (zero and number == 0)):
            raise ValueError(f"{name} must be {'at least' if zero else 'above'} 0 and finite, got {value!r}")
