"""Seeds for generators that take an integer. It does not import PyTorch, which takes two seconds."""

from __future__ import annotations

import hashlib
import operator


def check_seed(seed: int) -> None:
    """Raise ValueError unless the seed is an integer. True and 1.0 would be seeds other than 1."""
    try:
        text = str(operator.index(seed))
    except TypeError:
        text = None
    if f"{seed}" != text:  # operator.index takes True, and a tensor of it
        raise ValueError(f"seed must be an integer, got {seed!r}")


def derive(seed: int, purpose: str) -> int:
    """A 63-bit seed for one purpose, for generators that take an integer."""
    check_seed(seed)
    digest = hashlib.blake2b(f"{seed}/{purpose}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1
