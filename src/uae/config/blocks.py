"""What every part of the configuration is made of."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

# The names of `uae.models.NETWORKS`: written out, as that module imports torch
Network = Literal[
    "dense",
    "sparse",
    "convolutional",
    "adversarial",
    "concrete",
    "carlini-wagner",
    "madry",
    "resnet18",
    "wide-resnet",
    "simclr",
]


class Block(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """`over` on top of `base`, key by key through nested mappings."""
    both = {
        k: merge(base[k], v) for k, v in over.items() if isinstance(v, dict) and isinstance(base.get(k), dict)
    }
    return base | over | both
