"""The base classes and helpers of all configuration blocks."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Protocol

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def _networks() -> list[str]:
    """The names in `uae.models.NETWORKS`, read from the source: that module imports torch."""
    source = (Path(__file__).parents[1] / "models" / "__init__.py").read_text(encoding="utf-8")
    for node in ast.parse(source).body:
        if not isinstance(node, ast.AnnAssign) or ast.unparse(node.target) != "NETWORKS":
            continue
        if isinstance(node.value, ast.Dict):
            return [ast.literal_eval(key) for key in node.value.keys if key is not None]
    raise AssertionError("uae.models has no NETWORKS")


NETWORKS = _networks()


def _network(name: str) -> str:
    if name not in NETWORKS:
        raise ValueError(f"should be one of {', '.join(map(repr, NETWORKS))}")
    return name


Network = Annotated[str, AfterValidator(_network), Field(json_schema_extra={"enum": NETWORKS})]


class Row(NamedTuple):
    """One row of the unsupervised tables: a model on a data set."""

    dataset: str
    model: str


class Placed(Protocol):
    """Anything with a data set and a model: a row, a panel of a figure, the source of UAEs."""

    @property
    def dataset(self) -> str: ...
    @property
    def model(self) -> str: ...


class Run(NamedTuple):
    """One retrained model of a row: a method and, for Gaussian augmentation, the number of the draw."""

    method: str
    draw: int | None


class Block(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Merge `over` into `base`, key by key through nested mappings."""
    both = {
        k: merge(base[k], v) for k, v in over.items() if isinstance(v, dict) and isinstance(base.get(k), dict)
    }
    return base | over | both
