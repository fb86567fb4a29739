"""What every part of the configuration is made of."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from uae.data import catalogue

Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]


class Block(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TrainLimit(Block):
    """Training samples at most, by device; null: all."""

    cpu: Count | None
    cuda: Count | None


def known_data(name: str) -> str:
    """A validator: the name of a data set of the catalogue."""
    catalogue.lookup(name)
    return name


def merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """`over` on top of `base`, key by key through nested mappings."""
    both = {
        k: merge(base[k], v) for k, v in over.items() if isinstance(v, dict) and isinstance(base.get(k), dict)
    }
    return base | over | both
