"""Where tests put records."""

from __future__ import annotations

from pathlib import Path


def path(folder: Path, method: str, seed: int, draw: int | None = None) -> Path:
    """The place of one run's record in a row's folder."""
    return folder / method / (f"seed{seed}" + (f"-draw{draw}" if draw is not None else "") + ".json")
