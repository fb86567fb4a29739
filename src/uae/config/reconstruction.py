"""The unsupervised experiments: autoencoders retrained on augmented data (sections 5.4 and 5.5)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from uae.config.blocks import Block, Network, Row
from uae.config.values import (
    Arguments,
    Count,
    Flag,
    KnownData,
    Name,
    NotNegative,
    Positive,
    Real,
    Runs,
    Seeds,
    Several,
    Unique,
)
from uae.methods import CONTROLS, Method


class Fit(Block):
    """How a network is fitted. `TAKEN` lists the settings that each training takes."""

    loss: Literal["mse", "bce"] | None = None
    optimizer: Literal["adam", "rmsprop", "adadelta"] | None = None
    lr: Positive | None = None
    batch_size: Count | None = None
    sparsity: Positive | None = None
    sparsity_weight: NotNegative | None = None
    l1: NotNegative | None = None
    patience: Count | None = None
    min_delta: NotNegative | None = None
    keep_best: Flag | None = None
    tries: Runs | None = None

    def fit(self) -> dict[str, Any]:
        """The settings that are not None."""
        return self.model_dump(include=set(Fit.model_fields), exclude_none=True)


# The settings that each training's `fit` takes (`uae.training`)
_SHARED, _STOPPING = {"lr", "batch_size"}, {"patience", "min_delta", "keep_best"}
TAKEN = {
    "autoencoder": _SHARED | _STOPPING | {"loss", "optimizer", "sparsity", "sparsity_weight", "l1"},
    "adversarial": _SHARED | _STOPPING | {"loss", "optimizer"},
    "concrete": _SHARED | {"loss", "optimizer", "tries"},
    "simclr": _SHARED | _STOPPING,
}


class Recipe(Fit):
    """How a model is built and trained."""

    network: Network
    training: Literal["autoencoder", "adversarial", "concrete", "simclr"] = "autoencoder"
    samples: Literal["convolution", "random"]
    activation: str | None = None  # the module after the first convolution; its output is `released`'s


class Budget(Fit):
    """A row of the tables, one model on one data set: its sizes and its differences from the recipe."""

    epochs: Count
    retrain_epochs: Count
    arguments: Arguments = Field({})
    methods: Annotated[list[Name], Unique] | None = None  # instead of the scale's
    also: Annotated[list[Name], Unique] = Field([])  # added to the scale's
    seeds: Seeds | None = None  # instead of the run's
    train_limit: Count | None = None  # instead of the scale's


class RandomSampling(Block):
    count: Several
    dim: Count
    power: NotNegative = 1.0
    standardize: Flag = False
    redraw: Flag = False


class Attack(Block):
    """Algorithm 1 and per-sample MINE; the names are those of `uae.MinMaxAttack` and `uae.MINE`."""

    objective: Literal["mi", "l2"]
    eps: Positive
    steps: Count
    alpha: Positive
    beta: NotNegative
    kappa: NotNegative
    c0: NotNegative
    init: Literal["zeros", "noise"]
    keep: Literal["best", "last"]
    on_failure: Literal["original", "best"]
    mi_floor: Real | None
    squared: Flag
    after_activation: Flag
    critic: Literal["vanilla", "released"]
    inner_steps: Count
    critic_lr: Positive
    random_sampling: RandomSampling
    samples: Literal["convolution", "random"] | None = None  # MINE's input, instead of the model's


class DatasetBlock(Block):
    data: KnownData
    models: dict[Name, Budget]


class Panel(Block):
    """One grid of Figure 5."""

    dataset: Name
    model: Name
    method: Name


class Stationarity(Block):
    """Theorem 1's figure: a long attack on a few training samples of one row."""

    dataset: Name
    model: Name
    method: Name
    samples: Count
    steps: Count
    horizons: Annotated[list[Count], Field(max_length=100), Unique] = Field(
        []
    )  # steps of the attacks under the theorem's conditions
    warm_up: Count = 40


class Vectors(Block):
    """The vectors that random sampling compresses in the estimator's trial."""

    size: Count
    norm: Positive


class Maps(Block):
    """The maps that replace a convolution's output in the estimator's trial."""

    count: Several
    height: Several
    width: Several
    std: Positive


class Trial(Block):
    """The estimator on trial: Gaussian pairs of known mutual information (`stages.evaluate.estimator`)."""

    attacks: Annotated[list[Name], Unique]
    models: dict[Literal["random-sampling", "convolution-output"], Name]  # MINE sees the model's samples
    nats: Annotated[list[NotNegative], Field(min_length=1, max_length=100), Unique]
    pairs: Several
    vectors: Vectors
    maps: Maps


def check_methods(key: str, methods: list[str], attacks: dict[str, Attack]) -> None:
    """Raise ValueError for an unknown method, naming it and its key."""
    for name in methods:
        method = Method(name)
        if method.is_attack:
            known = method.base in attacks
        else:  # there is one kind of noise, and `original` is every row's first model
            known = name in CONTROLS or (bool(method.sigma) and name == method.base)
        if not known:
            raise ValueError(
                f"{key}: {name!r} is not {', '.join(CONTROLS)}, ga-<sigma above 0, as 0.01>, or one of "
                f"`attacks`: {', '.join(attacks)} (each also as <attack>-2 and <attack>-to-clean)"
            )


def check_fit(key: str, fit: Fit, training: str) -> None:
    """Raise ValueError naming a setting that the training does not take."""
    for name in Fit.model_fields:
        if getattr(fit, name) is not None and name not in TAKEN[training]:
            raise ValueError(
                f"{key}.{name}: the training {training!r} takes only {', '.join(sorted(TAKEN[training]))}"
            )


def check_budget(
    row: Row, budget: Budget, methods: list[str], models: dict[str, Recipe], attacks: dict[str, Attack]
) -> None:
    """Raise ValueError naming a setting that a row's model, the attacks or its other methods do not allow.

    methods: all of the row's.
    """
    where = f"reconstruction.{row.dataset}.models.{row.model}"
    if row.model not in models:
        raise ValueError(f"{where}: no such model under `models`")
    training = models[row.model].training
    if training == "simclr":
        raise ValueError(f"{where}: no autoencoder; SimCLR's settings are under `contrastive`")
    check_fit(where, budget, training)
    for key in ("methods", "also"):
        check_methods(f"{where}.{key}", getattr(budget, key) or [], attacks)
    if "matched-best" in methods and "keep_best" not in TAKEN[training]:
        raise ValueError(
            f"{where}: matched-best keeps the best epoch, which the training {training!r} cannot"
        )
    for method in map(Method, methods):
        if method.is_attack and method.rounds == 2 and method.base not in methods:
            raise ValueError(
                f"{where}: {method.name!r} attacks the model of {method.base!r}, which is not one of the "
                f"row's methods: {', '.join(methods)}"
            )


def check_trial(trial: Trial, models: dict[str, Recipe], attacks: dict[str, Attack]) -> None:
    """Raise ValueError naming a model or an attack that the estimator's trial cannot take."""
    for samples, model in trial.models.items():
        kind = "random" if samples == "random-sampling" else "convolution"
        if getattr(models.get(model), "samples", None) != kind:
            raise ValueError(f"estimator.models.{samples}: {model!r} is not a model with `samples: {kind}`")
    for name in trial.attacks:
        if name not in attacks or attacks[name].objective != "mi":
            raise ValueError(f"estimator.attacks: {name!r} is not one of `attacks` that use MINE")
