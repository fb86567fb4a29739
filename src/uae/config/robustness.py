"""The robustness experiments: adversarially trained models, and UAE augmentation (appendices H.1 and I)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field, model_validator

from uae.config.blocks import Block, Network, Row
from uae.config.values import (
    Arguments,
    Bound,
    Bounds,
    Count,
    CountFromZero,
    KnownData,
    Name,
    NotNegative,
    Positive,
    PublishedOrFile,
    Runs,
    Seeds,
    Unique,
)
from uae.data import catalogue
from uae.methods import Method


class Adversary(Block):
    """The inner maximisation of adversarial training, by the names of `uae.training.robust.Adversary`."""

    eps: Bound
    steps: Count
    step_size: Bound
    beta: NotNegative = 6.0


class Fit(Block):
    """How a classifier is fitted: names of `uae.training.classifier` or, with an adversary, `robust`."""

    lr: Positive
    batch_size: Count
    epochs: Count
    momentum: NotNegative = 0.0
    decay: NotNegative | None = None
    objective: Literal["madry", "trades"] | None = None
    optimizer: Literal["adam", "sgd"] | None = None
    weight_decay: NotNegative | None = None
    milestones: Annotated[list[Count], Unique] | None = None
    augmentation: Literal["none", "crop-flip"] | None = None
    warmup: CountFromZero | None = None


# The settings that only a training without an adversary takes, and those that only one with it takes
STANDARD = {"decay"}
ADVERSARIAL = {"objective", "optimizer", "weight_decay", "milestones", "augmentation", "warmup"}


class PGD(Block):
    """step_size: null is 2.5 eps / steps."""

    steps: Count
    step_size: Bound | None = None


class MinMax(Block):
    """Algorithm 1, maximising MI, by the names of `uae.MinMaxAttack` and `uae.MINE`."""

    steps: Count
    alpha: Positive
    beta: NotNegative
    inner_steps: Count
    critic: Literal["vanilla", "released"]
    critic_lr: Positive
    images: Count  # images at most: MinMax takes longer than PGD


class LongerMinMax(Block):
    """The changes of `minmax` for a longer attack, which shows whether its success has saturated."""

    steps: Count
    alpha: Positive
    images: Count


class Sanity(Block):
    """The checks for masked gradients at the adversary's eps."""

    surrogate: Name  # the model whose examples are transferred, of the same data set
    restarts: Runs


class Model(Block):
    """One model on one data set: how it is made and what is measured."""

    data: KnownData | None = None  # null: the data of the UAEs' row
    train_limit: Count | None = None  # instead of the scale's
    network: Network | None = None
    arguments: Arguments = Field({})
    fit: Fit | None = None
    adversary: Adversary | None = None
    # Instead of a training: a name of uae/data/models.yaml, or a published TRADES file
    checkpoint: PublishedOrFile | None = None
    methods: Annotated[list[Name], Unique] = Field(["original"])  # also attacks, by their names
    eps: Bounds
    images: Count
    pgd: PGD
    minmax: MinMax | None = None
    longer: dict[Name, LongerMinMax] = Field({})
    sanity: Sanity | None = None
    shown: CountFromZero = 0  # the images of Figure 6

    @model_validator(mode="after")
    def _whole(self) -> Model:
        if self.checkpoint is None:
            if self.network is None or self.fit is None:
                raise ValueError("a model that is trained needs network and fit; a published one, checkpoint")
            self._check_training(self.fit)
        elif self.uaes:
            raise ValueError(f"methods: a published model is not trained, so `{self.uaes[0]}` is not allowed")
        self._check_attacks()
        return self

    def _check_training(self, fit: Fit) -> None:
        if (self.adversary is None) != (fit.objective is None):
            raise ValueError(
                "adversary: needs fit.objective, madry or trades; fit.objective needs an adversary"
            )
        if self.adversary is not None and fit.optimizer is None:
            raise ValueError("fit.optimizer: adversarial training needs adam or sgd")
        foreign, which = (ADVERSARIAL, "without") if self.adversary is None else (STANDARD, "with")
        if wrong := sorted(fit.model_dump(exclude_none=True).keys() & foreign):
            raise ValueError(f"fit.{wrong[0]}: a training {which} an adversary does not take it")
        if self.adversary is None and not fit.momentum:
            raise ValueError("fit.momentum: must be above 0 without an adversary (Nesterov's method)")

    def _check_attacks(self) -> None:
        if self.sanity is not None and self.adversary is None:
            raise ValueError("sanity: the checks need an adversary, whose eps they use")
        if self.longer and self.minmax is None:
            raise ValueError("longer: these attacks extend `minmax`, which is not set")
        if taken := sorted({"pgd", "minmax", "sanity"} & self.longer.keys()):
            raise ValueError(f"longer: {taken[0]!r} is the name of another attack")
        if self.shown and self.minmax is None:
            raise ValueError("shown: Figure 6 compares MinMax with PGD, so it needs `minmax`")
        alone = [key for key in ("minmax", "sanity", "shown") if getattr(self, key)]
        if alone and len(self.methods) > 1:
            raise ValueError(
                f"{alone[0]}: needs a model with one entry in `methods`, and there are {len(self.methods)}"
            )

    @property
    def uaes(self) -> list[str]:
        """The attacks whose UAEs the model is retrained with."""
        return [name for method in self.methods for name in Method(method).attacks]

    @property
    def variant(self) -> tuple[str | None, int | None]:
        """What determines its data, beside the scale."""
        return self.data, self.train_limit

    @property
    def published(self) -> str | None:
        """The published file that is converted instead of a training."""
        name = self.checkpoint
        return catalogue.model_file(name) if name in catalogue.models() else name


class Source(Block):
    """The row of the unsupervised tables that the UAEs of a data set come from. A method names the attack.

    seeds: the seeds of the UAEs. The robust models' seeds take turns with them.
    """

    dataset: Name
    model: Name
    seeds: Seeds = Field([0])

    def seed(self, own: int) -> int:
        """The seed of the UAEs for a model of seed `own`: the same one if it exists."""
        return own if own in self.seeds else self.seeds[own % len(self.seeds)]


class Robust(NamedTuple):
    """One trained model: its data set, its name, and its method (on the originals or an augmented set)."""

    dataset: Name
    model: Name
    method: Name


class Robustness(Block):
    seeds: Seeds
    uaes: dict[Name, Source]
    models: dict[Name, dict[Name, Model]]

    @model_validator(mode="after")
    def _references(self) -> Robustness:
        for dataset, models in self.models.items():
            for name, model in models.items():
                where = f"models.{dataset}.{name}"
                if (model.data is None or model.uaes) and dataset not in self.uaes:
                    raise ValueError(f"{where}: there is no row for {dataset} under `uaes`")
                if model.data is None and model.train_limit is not None:
                    raise ValueError(
                        f"{where}.train_limit: leave it out; the UAEs' row sets the data and the limit"
                    )
                if model.data is not None and model.uaes:
                    raise ValueError(f"{where}.data: a model retrained with UAEs takes the data of their row")
                if model.sanity is not None and model.sanity.surrogate not in models:
                    raise ValueError(f"{where}.sanity.surrogate: no {model.sanity.surrogate} on {dataset}")
                if model.sanity is not None and model.variant != models[model.sanity.surrogate].variant:
                    raise ValueError(f"{where}.sanity.surrogate: {model.sanity.surrogate} has other data")
        return self

    def check(self, rows: list[Row], attacks: Iterable[str]) -> None:
        """Raise ValueError for UAEs of a row, or of an attack, that the configuration lacks."""
        for dataset, source in self.uaes.items():
            if (source.dataset, source.model) not in rows:
                raise ValueError(
                    f"robustness.uaes.{dataset}: no {source.model} on {source.dataset} under `reconstruction`"
                )
        for dataset, models in self.models.items():
            for name, model in models.items():
                if unknown := [m for m in model.methods if m not in ("original", "matched", *attacks)]:
                    raise ValueError(
                        f"robustness.models.{dataset}.{name}.methods: {unknown[0]!r} is not original, "
                        f"matched or one of `attacks`: {', '.join(attacks)}"
                    )
            for name, model in models.items():
                surrogate = model.sanity and model.sanity.surrogate
                if surrogate and "original" not in models[surrogate].methods:
                    raise ValueError(
                        f"robustness.models.{dataset}.{name}.sanity.surrogate: no original of {surrogate}"
                    )

    def training(self, run: Robust) -> dict[str, Any]:
        """The settings of one training."""
        model = self.models[run.dataset][run.model]
        if model.checkpoint is not None:
            return {"network": None, "arguments": {}, "checkpoint": model.checkpoint}
        return {
            "network": model.network,
            "arguments": model.arguments,
            "fit": model.fit and model.fit.model_dump(exclude_none=True),
            "adversary": model.adversary and model.adversary.model_dump(),
            "checkpoint": None,
        }

    def model_seeds(self, row: Row) -> list[int]:
        """A published model has one training, and takes the first."""
        return self.seeds[: 1 if self.models[row.dataset][row.model].checkpoint else None]

    def attacking(self, dataset: str, name: str) -> dict[str, Any]:
        """The settings of the attacks on one model."""
        model = self.models[dataset][name]
        settings = model.model_dump(include={"eps", "images", "pgd", "minmax", "sanity", "shown"})
        settings["longer"] = {
            name: settings["minmax"] | longer.model_dump() for name, longer in model.longer.items()
        }
        if model.sanity and model.adversary:
            settings["sanity"]["eps"] = model.adversary.eps
        return settings
