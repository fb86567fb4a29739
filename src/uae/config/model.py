"""The settings: one pydantic model of the whole configuration.

It also lists the rows that a configuration asks for, and the settings of each. `uae.plan` derives the files.
"""

from __future__ import annotations

import difflib
import fnmatch
from typing import Annotated, Any, Literal

from pydantic import model_validator

from uae.config.blocks import Block, Placed, Row, Run
from uae.config.files import scale_name, scales
from uae.config.reconstruction import (
    Attack,
    Budget,
    DatasetBlock,
    Panel,
    Recipe,
    Stationarity,
    Trial,
    check_budget,
    check_fit,
    check_methods,
    check_trial,
)
from uae.config.robustness import Model, Robust, Robustness, Source
from uae.config.simclr import Contrastive
from uae.config.supervised import Supervised
from uae.config.values import Count, Flag, Name, Runs, Seeds, Unique, short
from uae.data import catalogue
from uae.methods import Method


class Config(Block):
    scale: str
    only: str
    device: Literal["auto", "cpu", "cuda"]
    gpu_share: Runs
    records: Literal["live", "frozen"]
    fill: Name | None
    data_mirror: str | None
    models: dict[Name, Recipe]
    seeds: Seeds
    together: Flag
    train_limit: Count | None
    attack: Attack
    attacks: dict[Name, Attack]
    methods: Annotated[list[Name], Unique]
    gaussian_draws: Runs
    reconstruction: dict[Name, DatasetBlock]
    figure5: Annotated[list[Panel], Unique]
    theorem1: Stationarity
    estimator: Trial
    contrastive: Contrastive
    supervised: Supervised
    robustness: Robustness

    @model_validator(mode="after")
    def _references(self) -> Config:
        others = [name for name in scales() if name != self.name]
        if self.fill is not None and self.fill not in others:
            raise ValueError(
                f"fill: {short(self.fill)} is not one of the other scales, {', '.join(others)}, or empty"
            )
        for name in self.attacks:
            if not (method := Method(name)).is_attack or method.base != name:
                raise ValueError(
                    f"attacks: {name!r}: an attack's name must not end in -2 or -to-clean, nor be original, "
                    "matched, or ga-<sigma>"
                )
        check_methods("methods", self.methods, self.attacks)
        for name, recipe in self.models.items():
            if name == "classifier":  # its files would have the paths of `supervised.classifiers`
                raise ValueError("models.classifier: the supervised experiments use this name; use another")
            check_fit(f"models.{name}", recipe, recipe.training)
            if recipe.training == "simclr" and (given := recipe.fit()):
                raise ValueError(f"models.{name}.{min(given)}: SimCLR's settings are under `contrastive`")
        for row in self.autoencoders:
            check_budget(row, self.budget(row), self.row_methods(row), self.models, self.attacks)
        self.robustness.check(self.autoencoders, self.attacks)
        names = {f"{row.dataset}/{row.model}" for row in self.every_row()}
        for pattern in self.only.split(","):
            if not fnmatch.filter(names, pattern.strip()):
                close = difflib.get_close_matches(pattern.strip(), names, n=1)
                meant = f"; did you mean {close[0]}?" if close else f"; there are {', '.join(sorted(names))}"
                raise ValueError(f"only: no dataset/model matches {short(pattern)}{meant}")
        table1 = self.supervised.table1
        panels: list[tuple[str, Panel | Stationarity]] = [
            ("supervised.table1", Panel(dataset=table1.dataset, model=table1.model, method=method))
            for method in table1.methods
        ]
        panels.append(("theorem1", self.theorem1))
        for name, panel in [*(("figure5", panel) for panel in self.figure5), *panels]:
            if (panel.dataset, panel.model) not in self.autoencoders:
                raise ValueError(f"{name}: no {panel.model} on {panel.dataset} under `reconstruction`")
            if panel.method not in self.attacks:
                raise ValueError(f"{name}: {panel.method} is not one of `attacks`")
        check_trial(self.estimator, self.models, self.attacks)
        return self

    @property
    def name(self) -> str:
        """The scale's name, which is its folder under results/."""
        return scale_name(self.scale)

    def limited(self, data: str, limit: int | None = None) -> str:
        """A data name with its limit of training samples. A name without a number gets the scale's limit."""
        limit = limit or self.train_limit
        entry, explicit = catalogue.lookup(data)
        if explicit or not limit or limit >= entry.train:
            return data
        base, plus, transformations = data.partition("+")
        return f"{base}@{limit}{plus}{transformations}"

    def every_row(self) -> list[Row]:
        """All rows of the configuration, before `only` selects some."""
        rows: list[tuple[str, str]] = [*self.autoencoders, (self.contrastive.dataset, "simclr")]
        rows += [(dataset, "classifier") for dataset in self.supervised.classifiers]
        rows += [(dataset, model) for dataset, models in self.robustness.models.items() for model in models]
        return [Row(*row) for row in dict.fromkeys(rows)]

    def wants(self, dataset: str, model: str) -> bool:
        """Whether `only` asks for a row."""
        return any(fnmatch.fnmatch(f"{dataset}/{model}", p.strip()) for p in self.only.split(","))

    # The rows of the unsupervised experiments

    @property
    def autoencoders(self) -> list[Row]:
        """The rows of the unsupervised tables."""
        return [
            Row(dataset, model) for dataset, block in self.reconstruction.items() for model in block.models
        ]

    @property
    def rows(self) -> list[Row]:
        """The rows of the unsupervised tables that `only` asks for."""
        return self.asked_for(self.autoencoders)

    def asked_for(self, rows: list[Row]) -> list[Row]:
        return [row for row in rows if self.wants(*row)]

    @property
    def contrastive_rows(self) -> list[Row]:
        """SimCLR's row, if `only` asks for it."""
        return self.asked_for([Row(self.contrastive.dataset, "simclr")])

    @property
    def panels(self) -> list[Panel]:
        """The grids of Figure 5 that `only` asks for."""
        return [panel for panel in self.figure5 if Row(panel.dataset, panel.model) in self.rows]

    @property
    def stationarity(self) -> list[Stationarity]:
        """Theorem 1's attack, if `only` asks for its row."""
        return [self.theorem1] if Row(self.theorem1.dataset, self.theorem1.model) in self.rows else []

    def budget(self, row: Placed) -> Budget:
        return self.reconstruction[row.dataset].models[row.model]

    def row_seeds(self, row: Placed) -> list[int]:
        return self.budget(row).seeds or self.seeds

    def row_methods(self, row: Row) -> list[str]:
        """The row's methods, without the original."""
        budget = self.budget(row)
        methods = self.methods if budget.methods is None else budget.methods
        return list(dict.fromkeys([*methods, *budget.also]))

    def runs(self, row: Row) -> list[Run]:
        """Every retraining of a row and one seed."""
        return [
            Run(method, draw)
            for method in self.row_methods(row)
            for draw in (range(self.gaussian_draws) if Method(method).sigma else [None])
        ]

    def row_attacks(self, row: Row) -> list[str]:
        """The UAE sets that a row needs, first rounds before second ones."""
        sets = [name for method in self.row_methods(row) for name in Method(method).attacks]
        sets += [panel.method for panel in self.panels if (panel.dataset, panel.model) == row]
        table1 = self.supervised.table1
        if (table1.dataset, table1.model) == row and Row(row.dataset, "classifier") in self.classifiers:
            sets += table1.methods
        for source, attacks in self.uae_sources:
            sets += attacks * ((source.dataset, source.model) == row)
        return sorted(dict.fromkeys(sets), key=lambda name: Method(name).rounds)

    # The settings of each job. Only a change of these makes it run again.

    def data_name(self, row: Row) -> str:
        """The prepared data of a row: its variant, with the limit of training samples."""
        return self.limited(self.reconstruction[row.dataset].data, self.budget(row).train_limit)

    def training(self, row: Row, method: str) -> dict[str, Any]:
        """The settings of one training or retraining: network, training, arguments and those of the fit."""
        budget, recipe = self.budget(row), self.models[row.model]
        epochs = budget.epochs if method == "original" else budget.retrain_epochs
        return {
            "network": recipe.network,
            "training": recipe.training,
            "arguments": budget.arguments,
            "epochs": epochs,
            **recipe.fit(),
            **budget.fit(),
            **({"keep_best": True} if method == "matched-best" else {}),
        }

    def attacking(self, model: str, attack: str) -> dict[str, Any]:
        """The settings of one UAE generation."""
        preset = self.attacks[Method(attack).base]
        mine_keys = {"critic", "inner_steps", "critic_lr", "random_sampling", "after_activation", "samples"}
        settings = {
            "attack": preset.model_dump(exclude=mine_keys | {"squared", "objective"}),
            "squared": preset.squared,
            "mine": None,
        }
        if preset.objective == "l2":
            return settings
        recipe = self.models[model]
        if (preset.samples or recipe.samples) == "random":
            settings["random_sampling"] = preset.random_sampling.model_dump()
        else:
            settings["layer"] = recipe.activation if preset.after_activation else None
        settings["mine"] = {
            "critic": preset.critic,
            "inner_steps": preset.inner_steps,
            "lr": preset.critic_lr,
        }
        return settings

    # The supervised experiments

    @property
    def classifiers(self) -> list[Row]:
        """The classifiers of the supervised experiments that `only` asks for."""
        return self.asked_for([Row(dataset, "classifier") for dataset in self.supervised.classifiers])

    def classifier_data(self, row: Row) -> str:
        block = self.supervised.classifiers[row.dataset]
        return self.limited(block.data, block.train_limit)

    def supervised_items(self, row: Row) -> list[str]:
        """The items that a classifier is attacked for. Table 1 also needs a row of unsupervised tables."""
        table1 = self.supervised.table1
        there = Row(table1.dataset, table1.model) in self.rows
        return [item for item in self.supervised.items(row.dataset) if item != "table1" or there]

    # The robustness experiments

    @property
    def robust_rows(self) -> list[Row]:
        """The models of the robustness experiments that `only` asks for."""
        models = self.robustness.models
        return self.asked_for([Row(dataset, name) for dataset in models for name in models[dataset]])

    def robust_model(self, row: Row) -> Model:
        return self.robustness.models[row.dataset][row.model]

    @property
    def robust_made(self) -> list[Row]:
        """The models that are trained: those that `only` asks for, and the surrogates of their checks."""
        checks = [(row.dataset, self.robust_model(row).sanity) for row in self.robust_rows]
        surrogates = [Row(dataset, sanity.surrogate) for dataset, sanity in checks if sanity]
        return list(dict.fromkeys([*self.robust_rows, *surrogates]))

    def robust_runs(self, row: Row) -> list[Robust]:
        return [Robust(*row, method) for method in self.robust_model(row).methods]

    @property
    def uae_sources(self) -> list[tuple[Source, list[str]]]:
        """The rows of the unsupervised tables whose UAEs the models are trained with, and the attacks."""
        found: dict[str, list[str]] = {}
        for row in self.robust_made:
            if attacks := self.robust_model(row).uaes:
                found.setdefault(row.dataset, []).extend(attacks)
        return [(self.robustness.uaes[dataset], attacks) for dataset, attacks in found.items()]

    @property
    def made_rows(self) -> list[Row]:
        """The rows of the unsupervised tables that `only` asks for, and the sources of the UAEs."""
        sources = [Row(source.dataset, source.model) for source, _ in self.uae_sources]
        return list(dict.fromkeys([*self.rows, *sources]))

    def robust_data(self, row: Row) -> str:
        model = self.robust_model(row)
        if model.data is not None:
            return self.limited(model.data, model.train_limit)
        source = self.robustness.uaes[row.dataset]
        return self.data_name(Row(source.dataset, source.model))
