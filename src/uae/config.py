"""The configuration: one pydantic model, and the settings that each job is given.

Three layers, later ones win: the scale file, config/config.yaml, the command line. Imports neither
torch nor Snakemake: the Snakefile loads it for every command.
"""

from __future__ import annotations

import fnmatch
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from uae.data import catalogue
from uae.errors import ConfigError

ROOT = Path(__file__).parents[2]
SCALES = ROOT / "config" / "scales"

Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]


class Block(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Recipe(Block):
    """How a model is built and trained."""

    network: str
    loss: Literal["mse", "bce"]
    optimizer: Literal["adam", "rmsprop", "adadelta"]
    lr: Positive
    batch_size: Count
    samples: Literal["convolution", "random"]
    activation: str | None = None  # the module after the first convolution; its output is `released`'s


class Budget(Block):
    """What differs by data set: epochs of the original and of every retrained model, and sizes."""

    epochs: Count
    retrain_epochs: Count
    arguments: dict[str, Any] = {}


class RandomSampling(Block):
    count: Annotated[int, Field(ge=2)]
    dim: Count
    power: NotNegative = 1.0
    standardize: bool = False
    redraw: bool = False


class Attack(Block):
    """Algorithm 1 and per-sample MINE; the names are those of `uae.MinMaxAttack` and `uae.MINE`."""

    eps: Positive
    steps: Count
    alpha: Positive
    beta: NotNegative
    kappa: NotNegative
    c0: NotNegative
    init: Literal["zeros", "noise"]
    on_failure: Literal["original", "best"]
    mi_floor: float | None
    squared: bool
    after_activation: bool
    critic: Literal["vanilla", "released"]
    inner_steps: Count
    critic_lr: Positive
    random_sampling: RandomSampling


class DatasetBlock(Block):
    data: str
    models: dict[str, Budget]

    @field_validator("data")
    @classmethod
    def _known(cls, name: str) -> str:
        catalogue.lookup(name)
        return name


class Panel(Block):
    """One grid of Figure 5."""

    dataset: str
    model: str
    method: Literal["mine-uae", "mine-uae-released"]


class TrainLimit(Block):
    cpu: Count | None
    cuda: Count | None


METHOD = re.compile(r"(mine|l2)-uae(-released)?|matched|ga-(?P<sigma>\d+(\.\d+)?)")


def sigma_of(method: str) -> float | None:
    """The noise level of a Gaussian augmentation, None for any other method."""
    match = METHOD.fullmatch(method)
    return float(match["sigma"]) if match and match["sigma"] else None


class Config(Block):
    scale: str
    only: str
    device: Literal["auto", "cpu", "cuda"]
    records: Literal["live", "frozen"]
    data_mirror: str | None
    models: dict[str, Recipe]
    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
    train_limit: TrainLimit
    attack: Attack
    released: Attack
    methods: list[str]
    gaussian_draws: Count
    reconstruction: dict[str, DatasetBlock]
    figure5: list[Panel]

    @field_validator("methods")
    @classmethod
    def _methods(cls, methods: list[str]) -> list[str]:
        for method in methods:
            if not METHOD.fullmatch(method) or sigma_of(method) == 0:
                raise ValueError(
                    f"{method!r} is not mine-uae[-released], l2-uae[-released], matched or ga-<sigma above 0>"
                )
        return methods

    @model_validator(mode="after")
    def _references(self) -> Config:
        for dataset, block in self.reconstruction.items():
            for model in block.models:
                if model not in self.models:
                    raise ValueError(f"reconstruction.{dataset}.models.{model}: no such model under `models`")
        if not self.rows:
            raise ValueError(f"only: no dataset/model under `reconstruction` matches {self.only!r}")
        for panel in self.figure5:
            if panel.method not in self.methods:
                raise ValueError(f"figure5: {panel.method} is not one of `methods`")
            if panel.model not in getattr(self.reconstruction.get(panel.dataset), "models", {}):
                raise ValueError(f"figure5: no {panel.model} on {panel.dataset} under `reconstruction`")
        return self

    @property
    def resolved_device(self) -> str:
        """`cpu` or `cuda`: what `auto` means on this machine, without importing torch."""
        if self.device != "auto":
            return self.device
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        return "cuda" if Path("/dev/nvidiactl").exists() and visible not in ("", "-1") else "cpu"

    @property
    def mirror(self) -> str | None:
        return self.data_mirror or os.environ.get("UAE_DATA_MIRROR") or None

    @property
    def name(self) -> str:
        """The scale's name, which is its folder under results/."""
        return Path(self.scale).stem

    @property
    def rows(self) -> list[tuple[str, str]]:
        """The data set and model of each row of Tables 4 and 8, those that `only` asks for."""
        return [
            (dataset, model)
            for dataset, block in self.reconstruction.items()
            for model in block.models
            if fnmatch.fnmatch(f"{dataset}/{model}", self.only)
        ]

    @property
    def panels(self) -> list[Panel]:
        """The grids of Figure 5 that `only` asks for."""
        return [panel for panel in self.figure5 if (panel.dataset, panel.model) in self.rows]

    # What each job is given. Only these settings decide whether it runs again.

    def data_name(self, dataset: str) -> str:
        """The prepared data of a data set: its variant, with the device's limit of training samples."""
        name = self.reconstruction[dataset].data
        limit = getattr(self.train_limit, self.resolved_device)
        entry, explicit = catalogue.lookup(name)
        return name if explicit or not limit or limit >= entry.train else f"{name}@{limit}"

    def runs(self, method: str) -> list[str]:
        """The runs of one method and any seed, as file names without the seed: one a Gaussian draw."""
        return [f"-draw{d}" for d in range(self.gaussian_draws)] if sigma_of(method) else [""]

    def training(self, dataset: str, model: str, method: str) -> dict[str, Any]:
        """The settings of one training, retraining included."""
        budget = self.reconstruction[dataset].models[model]
        epochs = budget.epochs if method == "original" else budget.retrain_epochs
        recipe = self.models[model].model_dump(exclude={"samples", "activation"})
        return recipe | {"epochs": epochs, "arguments": budget.arguments}

    def attacking(self, model: str, method: str) -> dict[str, Any]:
        """The settings of one UAE generation."""
        preset = self.released if method.endswith("-released") else self.attack
        mine_keys = {"critic", "inner_steps", "critic_lr", "random_sampling", "after_activation"}
        settings = {
            "attack": preset.model_dump(exclude=mine_keys | {"squared"}),
            "squared": preset.squared,
            "mine": None,
        }
        if method.startswith("l2-uae"):
            return settings
        recipe = self.models[model]
        if recipe.samples == "random":
            settings["random_sampling"] = preset.random_sampling.model_dump()
        else:
            settings["layer"] = recipe.activation if preset.after_activation else None
        settings["mine"] = {
            "critic": preset.critic,
            "inner_steps": preset.inner_steps,
            "lr": preset.critic_lr,
        }
        return settings


def read_yaml(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {error}") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: must be a mapping of keys to values")
    return content


def merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """`over` on top of `base`, key by key through nested mappings."""
    both = {
        k: merge(base[k], v) for k, v in over.items() if isinstance(v, dict) and isinstance(base.get(k), dict)
    }
    return base | over | both


def scale_file(scale: str) -> Path:
    """config/scales/<scale>.yaml, or the path itself."""
    path = Path(scale) if scale.endswith((".yaml", ".yml")) else SCALES / f"{scale}.yaml"
    if not path.exists():
        known = ", ".join(sorted(p.stem for p in SCALES.glob("*.yaml")))
        raise ConfigError(f"scale: {scale!r} is neither one of {known} nor the path of a scale file")
    return path


def load(settings: dict[str, Any] | None = None) -> Config:
    """The configuration; `settings` is config/config.yaml with any overrides on top (Snakemake's)."""
    base = read_yaml(ROOT / "config" / "config.yaml")
    settings = base if settings is None else settings
    scale = scale_file(str(settings.get("scale", "")))
    scale_settings = read_yaml(scale)
    merged = merge(scale_settings, settings)
    if isinstance(merged.get("attack"), dict) and isinstance(merged.get("released"), dict):
        merged["released"] = merge(merged["attack"], merged["released"])
    try:
        return Config.model_validate(merged)
    except ValidationError as error:
        layers = {scale: scale_settings, ROOT / "config" / "config.yaml": base}
        raise ConfigError(_explain(error, settings, layers)) from None


def _get(mapping: Any, keys: tuple[Any, ...]) -> Any:
    for key in keys:
        try:
            mapping = mapping[key]
        except (KeyError, IndexError, TypeError):
            return None
    return mapping


def _explain(error: ValidationError, settings: dict[str, Any], layers: dict[Path, dict[str, Any]]) -> str:
    """One line a mistake: where it stands, the key, what was given, what is allowed."""
    lines = []
    for item in error.errors():
        keys = item["loc"]
        if keys[:1] == ("released",) and not any(_get(m, keys) for m in (settings, *layers.values())):
            continue  # taken over from `attack`, and reported there
        places = [path for path, layer in layers.items() if _get(layer, keys) is not None]
        overridden = places and _get(settings, keys) not in (None, _get(layers[places[0]], keys))
        place = "the command line or --configfile" if overridden or not places else _relative(places[0])
        if item["type"] == "missing":
            place = _relative(next(iter(layers)))
        key = ".".join(map(str, keys)) or "(the whole)"
        given = "" if item["type"] == "missing" or not keys else f", given {item['input']!r}"
        message = "no such key" if item["type"] == "extra_forbidden" else item["msg"]
        lines.append(f"{place}: {key}: {message}{given}")
    return "bad configuration\n  " + "\n  ".join(lines)


def _relative(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)
