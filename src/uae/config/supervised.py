"""The supervised experiments: MINE attacks on classifiers (sections 3.1, 5.2 and 5.3, appendix B.1)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from uae.config.blocks import Block
from uae.config.values import (
    Arguments,
    Count,
    FileOrAddress,
    Flag,
    KnownData,
    Name,
    NotNegative,
    Numbers,
    Positive,
    Runs,
    Several,
    Unique,
)


class Classifier(Block):
    """Carlini and Wagner's network on one data set."""

    data: KnownData
    epochs: Count
    batch_size: Count
    arguments: Arguments
    train_limit: Count | None = None  # instead of the scale's


class Training(Block):
    lr: Positive
    momentum: Positive  # Nesterov's
    decay: NotNegative


class Common(Block):
    """The settings of all MINE attacks on classifiers, by the names of `uae.MinMaxAttack` and `uae.MINE`."""

    alpha: Positive
    beta: NotNegative
    kappa: NotNegative
    inner_steps: Count
    critic_lr: Positive


class Compared(Block):
    """A method of Table 3 and Figure 2."""

    attack: Literal["minmax", "penalty"]
    critic: Literal["vanilla", "released"]
    restart_critic: Flag = True  # each search of the penalty attack starts with a new critic
    inner_steps: Count | None = None  # critic steps per attack step, instead of the common number
    images: Count | None = None  # the most images, if fewer than the table's


class Budget(Block):
    """The total number of iterations, and the most images: correctly classified ones of the test set."""

    steps: Count
    images: Count


class RandomSampling(Block):
    count: Several
    dim: Count


class Table1(Block):
    """The row of the unsupervised tables whose UAEs stand for the unsupervised definition."""

    dataset: Name
    model: Name
    methods: Annotated[list[Name], Field(min_length=1), Unique]

    @property
    def names(self) -> list[str]:
        """The names of the methods' examples in Table 1: unsupervised-example[-<settings>]."""
        return ["unsupervised-example" + method.removeprefix("mine-uae") for method in self.methods]


class Estimator(Block):
    """The estimator of the examples of all methods in Tables 1 and 3: a new vanilla critic for each pair."""

    images: Count  # the most successes
    critic_steps: Count
    critic_lr: Positive

    @field_validator("critic_steps")
    @classmethod
    def _in_parts(cls, steps: int) -> int:
        if steps > 100 and steps % 100:  # MI is estimated at 100 steps
            raise ValueError("above 100 a multiple of 100")
        return steps


class Table2(Budget):
    """Table 2, Figure 1 (the first eps) and Figure 4 (the second)."""

    dataset: Name
    eps: Annotated[tuple[Positive, Positive], Unique]
    runs: Runs  # draws of random sampling
    random_sampling: RandomSampling
    # The convolutions whose output is sampled, by method. null is the first one, which the figures show
    layers: dict[Name, str | None]
    shown: Count
    # Training images whose EfficientNet-Lite0 features are compared with the examples'; null: none
    independent: Several | None = None

    @property
    def pictured(self) -> list[str]:
        """The methods of Figures 1 and 4, which have both eps."""
        return ["random-sampling", *(name for name, layer in self.layers.items() if layer is None)]


class Figure3(Budget):
    dataset: Name
    eps: Numbers
    pgd_steps: Count
    shown: Count


class Supervised(Block):
    # Path or address of the Inception weights, by which FID is defined
    inception: FileOrAddress | None
    training: Training
    attack: Common
    compared: dict[Name, Compared]
    classifiers: dict[Name, Classifier]
    estimator: Estimator
    table1: Table1
    table2: Table2
    table3: dict[str, dict[Literal["vanilla", "released"], Budget | None]]  # null: none with this critic
    searches: Runs  # searches of the penalty attack share the steps of Table 3
    figure3: Figure3

    @model_validator(mode="after")
    def _references(self) -> Supervised:
        named = [self.table1.dataset, self.table2.dataset, self.figure3.dataset, *self.table3]
        if unknown := [name for name in named if name not in self.classifiers]:
            raise ValueError(f"supervised: no {unknown[0]!r} under `supervised.classifiers`")
        if names := [name for name in [*self.compared, *self.table2.layers] if "@" in name]:
            raise ValueError(f"supervised: {names[0]!r} has an @, which is reserved for an attack's eps")
        if self.table1.dataset != self.figure3.dataset:
            raise ValueError("supervised: table1 and figure3 attack one classifier, so they need one dataset")
        for dataset, budgets in self.table3.items():
            for critic, budget in budgets.items():
                if budget and budget.steps % self.searches:
                    raise ValueError(
                        f"supervised.table3.{dataset}.{critic}.steps: {budget.steps} is not a multiple of "
                        f"the {self.searches} searches"
                    )
        return self

    @property
    def inception_file(self) -> str | None:
        """The path of Inception's weights; None for an address."""
        return None if "://" in (self.inception or "") else self.inception

    def items(self, dataset: str) -> list[str]:
        """The tables and figures for which a data set's classifier is attacked."""
        known = {
            "table1": dataset == self.table1.dataset,
            "table2": dataset == self.table2.dataset,
            "table3": dataset in self.table3,
            "figure3": dataset == self.figure3.dataset,
        }
        return [item for item, asked in known.items() if asked]

    def classifier(self, dataset: str) -> dict[str, Any]:
        """The settings of one training."""
        block = self.classifiers[dataset]
        return {
            "network": "carlini-wagner",
            "arguments": block.arguments,
            "epochs": block.epochs,
            "batch_size": block.batch_size,
            **self.training.model_dump(),
        }
