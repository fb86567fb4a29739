"""What every part of the configuration is made of."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

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


class Row(NamedTuple):
    """One row of the unsupervised tables: a model on a data set."""

    dataset: str
    model: str


class Run(NamedTuple):
    """One retrained model of a row: a method, and for Gaussian augmentation the number of the draw."""

    method: str
    draw: int | None


class Block(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """`over` on top of `base`, key by key through nested mappings."""
    both = {
        k: merge(base[k], v) for k, v in over.items() if isinstance(v, dict) and isinstance(base.get(k), dict)
    }
    return base | over | both
