"""The configuration: one pydantic model, and the settings that each job is given.

Four layers, later ones win: config/config.yaml, the scale's file, `--configfile`, `--config`. Imports
neither torch nor Snakemake: the Snakefile loads it for every command.
"""

from __future__ import annotations

import fnmatch
import functools
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import ValidationError, model_validator

from uae.config.blocks import Block, merge
from uae.config.contrastive import Contrastive
from uae.config.files import BASE, ROOT, SCALES, explain, own_files, scale_file, scale_layers, scales
from uae.config.reconstruction import (
    Attack,
    Budget,
    DatasetBlock,
    Panel,
    Recipe,
    Stationarity,
    Trial,
    check_fit,
    check_methods,
    check_rounds,
)
from uae.config.robustness import Model, Robust, Robustness, Source
from uae.config.strict_yaml import read_yaml
from uae.config.supervised import AttackSet, Supervised
from uae.config.values import Count, Flag, Name, Runs, Seeds, Unique, short
from uae.data import catalogue
from uae.errors import ConfigError
from uae.methods import Method

__all__ = ["ROOT", "SCALES", "Config", "Robust", "Row", "load", "merge", "read_yaml"]


class Row(NamedTuple):
    """One row of the unsupervised tables: a model on a data set."""

    dataset: str
    model: str


class Run(NamedTuple):
    """One retrained model of a row: a method, and for Gaussian augmentation the number of the draw."""

    method: str
    draw: int | None

    @property
    def name(self) -> str:
        return self.method if self.draw is None else f"{self.method}-draw{self.draw}"


class Step(NamedTuple):
    """What is done for a row in one go, and of what: trainings, or attacks by name."""

    stage: Literal["train", "generate", "retrain"]
    things: list[Run] | list[str]


class Config(Block):
    scale: str
    only: str
    device: Literal["auto", "cpu", "cuda"]
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
                f"fill: {short(self.fill)} is none of the other scales: {', '.join(others)}, or empty"
            )
        for name in self.attacks:
            if not (method := Method(name)).is_attack or method.base != name:
                raise ValueError(
                    f"attacks: {name!r} is a method's name; an attack's ends in no -2 or -to-clean"
                )
        check_methods("methods", self.methods, self.attacks)
        for name, recipe in self.models.items():
            if name == "classifier":  # its files would lie where those of `supervised.classifiers` do
                raise ValueError("models.classifier: the supervised experiments have this name; take another")
            check_fit(f"models.{name}", recipe, recipe.training)
            if recipe.training == "simclr" and (given := recipe.fit()):
                raise ValueError(f"models.{name}.{min(given)}: SimCLR's settings are under `contrastive`")
        for dataset, block in self.reconstruction.items():
            for model, budget in block.models.items():
                if model not in self.models:
                    raise ValueError(f"reconstruction.{dataset}.models.{model}: no such model under `models`")
                where = f"reconstruction.{dataset}.models.{model}"
                if self.models[model].training == "simclr":
                    raise ValueError(f"{where}: no autoencoder; SimCLR's settings are under `contrastive`")
                check_fit(where, budget, self.models[model].training)
                for key in ("methods", "also"):
                    check_methods(f"{where}.{key}", getattr(budget, key) or [], self.attacks)
                check_rounds(where, self.row_methods(Row(dataset, model)))
        for dataset, source in self.robustness.uaes.items():
            if source.model not in getattr(self.reconstruction.get(source.dataset), "models", {}):
                raise ValueError(
                    f"robustness.uaes.{dataset}: no {source.model} on {source.dataset} under `reconstruction`"
                )
            if source.method not in self.attacks:
                raise ValueError(f"robustness.uaes.{dataset}: {source.method} is not one of `attacks`")
        names = {f"{row.dataset}/{row.model}" for row in self._every_row()}
        for pattern in self.only.split(","):
            if not fnmatch.filter(names, pattern.strip()):
                raise ValueError(f"only: no dataset/model matches {short(pattern)}")
        table1 = self.supervised.table1
        panels = [
            ("supervised.table1", Panel(dataset=table1.dataset, model=table1.model, method=method))
            for method in table1.methods
        ]
        panels.append(("theorem1", self.theorem1))
        for name, panel in [*(("figure5", panel) for panel in self.figure5), *panels]:
            if panel.model not in getattr(self.reconstruction.get(panel.dataset), "models", {}):
                raise ValueError(f"{name}: no {panel.model} on {panel.dataset} under `reconstruction`")
            if panel.method not in self.attacks:
                raise ValueError(f"{name}: {panel.method} is not one of `attacks`")
        for samples, model in self.estimator.models.items():
            kind = "random" if samples == "random-sampling" else "convolution"
            if getattr(self.models.get(model), "samples", None) != kind:
                raise ValueError(f"estimator.models.{samples}: {model!r} is no model with `samples: {kind}`")
        for name in self.estimator.attacks:
            if name not in self.attacks or self.attacks[name].objective != "mi":
                raise ValueError(f"estimator.attacks: {name!r} is none of `attacks` that takes MINE")
        return self

    @property
    def summary(self) -> str:
        """What a run is of, in a line: a second `--config` replaces the first without a word."""
        if self.records == "frozen":
            return f"Scale {self.name}, frozen records: nothing but rendering"
        rows = ["/".join(row) for row in self._asked_for(self._every_row())]
        first = ", ".join(rows[:3] + ["..."] * (len(rows) > 3))
        count = f"{len(rows)} row" + "s" * (len(rows) != 1)
        return f"Scale {self.name}: {count} ({first})"

    @property
    def mirror(self) -> str | None:
        return self.data_mirror or os.environ.get("UAE_DATA_MIRROR") or None

    @property
    def name(self) -> str:
        """The scale's name, which is its folder under results/."""
        return Path(self.scale).stem

    def limited(self, data: str, limit: int | None = None) -> str:
        """A data name with its limit of training samples, or else the scale's, where it names no number."""
        limit = limit or self.train_limit
        entry, explicit = catalogue.lookup(data)
        if explicit or not limit or limit >= entry.train:
            return data
        base, plus, transformations = data.partition("+")
        return f"{base}@{limit}{plus}{transformations}"

    def _every_row(self) -> list[Row]:
        """All that there is to ask for."""
        rows = [(dataset, model) for dataset, block in self.reconstruction.items() for model in block.models]
        rows += [(self.contrastive.dataset, "simclr")]
        rows += [(dataset, "classifier") for dataset in self.supervised.classifiers]
        rows += [(dataset, model) for dataset, models in self.robustness.models.items() for model in models]
        return [Row(*row) for row in dict.fromkeys(rows)]

    def wants(self, dataset: str, model: str) -> bool:
        """Whether `only` asks for a row."""
        return any(fnmatch.fnmatch(f"{dataset}/{model}", p.strip()) for p in self.only.split(","))

    # The unsupervised experiments: what is run.

    @property
    def rows(self) -> list[Row]:
        """The rows of the unsupervised tables, those that `only` asks for."""
        return self._asked_for(
            [Row(dataset, model) for dataset, block in self.reconstruction.items() for model in block.models]
        )

    def _asked_for(self, rows: list[Row]) -> list[Row]:
        return [row for row in rows if self.wants(*row)]

    @property
    def contrastive_rows(self) -> list[Row]:
        """SimCLR's row, if `only` asks for it."""
        return self._asked_for([Row(self.contrastive.dataset, "simclr")])

    @property
    def panels(self) -> list[Panel]:
        """The grids of Figure 5 that `only` asks for."""
        return [panel for panel in self.figure5 if Row(panel.dataset, panel.model) in self.rows]

    @property
    def stationarity(self) -> list[Stationarity]:
        """Theorem 1's attack, if `only` asks for its row."""
        return [self.theorem1] if Row(self.theorem1.dataset, self.theorem1.model) in self.rows else []

    def budget(self, row: Row | Panel) -> Budget:
        return self.reconstruction[row.dataset].models[row.model]

    def row_seeds(self, row: Row | Panel) -> list[int]:
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
        sets += [source.method for source in self.uae_sources if (source.dataset, source.model) == row]
        return sorted(dict.fromkeys(sets), key=lambda name: Method(name).rounds)

    def jobs(self, row: Row) -> list[list[Step]]:
        """The jobs that make a row's models and UAE sets: one for each training or set, or one in all."""
        steps = [Step("train", [Run("original", None)])]
        attacks, runs = self.row_attacks(row), self.runs(row)
        for number in sorted({Method(name).rounds for name in [*attacks, *self.row_methods(row)]}):
            steps += [
                Step("generate", [attack for attack in attacks if Method(attack).rounds == number]),
                Step("retrain", [run for run in runs if Method(run.method).rounds == number]),
            ]
        if self.together:
            return [[step for step in steps if step.things]]
        return [[Step(stage, [thing])] for stage, things in steps for thing in things]

    def steps(self, row: Row, job: list[Step]) -> list[dict[str, Any]]:
        """What a job does, in order: trainings (`runs`), or `attacks` on the model of method `attacked`."""
        done = []
        for stage, things in job:
            if stage == "generate":
                done += [
                    {"attacked": Method(name).attacked, "attacks": {name: self.attacking(row.model, name)}}
                    for name in things
                ]
            else:
                runs = [run._asdict() | {"settings": self.training(row, run.method)} for run in things]
                done.append({"runs": runs})
        return done

    # What each job is given. Only these settings decide whether it runs again.

    def data_name(self, row: Row) -> str:
        """The prepared data of a row: its variant, with the limit of training samples."""
        return self.limited(self.reconstruction[row.dataset].data, self.budget(row).train_limit)

    def training(self, row: Row, method: str) -> dict[str, Any]:
        """The settings of one training, retraining included: network, training, arguments and the fit's."""
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

    @property
    def trial(self) -> dict[str, Any]:
        """The settings of the estimator's trial."""
        block = self.estimator
        attacks = {
            samples: {name: self.attacking(model, name) for name in block.attacks}
            for samples, model in block.models.items()
        }
        return {
            "attacks": attacks,
            "truths": block.nats,
            "pairs": block.pairs,
            "vectors": block.vectors.model_dump(),
            "maps": block.maps.model_dump(),
        }

    # The supervised experiments

    @property
    def classifiers(self) -> list[Row]:
        """The classifiers of the supervised experiments, those that `only` asks for."""
        return self._asked_for([Row(dataset, "classifier") for dataset in self.supervised.classifiers])

    def classifier_data(self, row: Row) -> str:
        block = self.supervised.classifiers[row.dataset]
        return self.limited(block.data, block.train_limit)

    def supervised_items(self, row: Row) -> list[str]:
        """What a classifier is attacked for; Table 1 also needs its row of the unsupervised tables."""
        table1 = self.supervised.table1
        there = Row(table1.dataset, table1.model) in self.rows
        return [item for item in self.supervised.items(row.dataset) if item != "table1" or there]

    def supervised_sets(self, row: Row) -> list[AttackSet]:
        return self.supervised.sets(row.dataset)

    # The robustness experiments

    @property
    def robust_rows(self) -> list[Row]:
        """The models of the robustness experiments, those that `only` asks for."""
        models = self.robustness.models
        return self._asked_for([Row(dataset, name) for dataset in models for name in models[dataset]])

    def robust_model(self, row: Row) -> Model:
        return self.robustness.models[row.dataset][row.model]

    def surrogates(self, rows: list[Row]) -> list[Row]:
        """The models whose examples are tried on some others."""
        checks = [(row.dataset, self.robust_model(row).sanity) for row in rows]
        return [Row(dataset, sanity.surrogate) for dataset, sanity in checks if sanity]

    @property
    def robust_made(self) -> list[Row]:
        """The models that are trained: those asked for, and those whose examples are tried on them."""
        return list(dict.fromkeys([*self.robust_rows, *self.surrogates(self.robust_rows)]))

    def robust_runs(self, row: Row) -> list[Robust]:
        return [Robust(*row, method) for method in self.robust_model(row).methods]

    @property
    def uae_sources(self) -> list[Source]:
        """The rows of the unsupervised tables whose UAEs the models are trained with."""
        needed = {
            run.dataset
            for row in self.robust_made
            for run in self.robust_runs(row)
            if run.method == "mine-uae"
        }
        return [self.robustness.uaes[dataset] for dataset in self.robustness.uaes if dataset in needed]

    @property
    def made_rows(self) -> list[Row]:
        """The rows of the unsupervised tables that are made: those asked for, and the sources of UAEs."""
        sources = [Row(source.dataset, source.model) for source in self.uae_sources]
        return list(dict.fromkeys([*self.rows, *sources]))

    def robust_data(self, row: Row) -> str:
        model = self.robust_model(row)
        if model.data is not None:
            return self.limited(model.data, model.train_limit)
        source = self.robustness.uaes[row.dataset]
        return self.data_name(Row(source.dataset, source.model))


def load(overrides: dict[str, Any] | None = None, files: Iterable[str | Path] = ()) -> Config:
    """The configuration: config/config.yaml, the scale's file, what that extends, and overrides on top.

    overrides: what `--configfile` and `--config` say, Snakemake's `config`.
    files: those of `--configfile`, the later wins. They are read again, as Snakemake takes what `read_yaml`
    refuses, and named where one of their settings is wrong.
    """
    overrides = overrides or {}
    own = {path: read_yaml(path) for path in own_files(files)}
    base = read_yaml(BASE)
    scale = scale_layers(scale_file(overrides.get("scale", base.get("scale"))))
    layers = own | scale | {BASE: base}
    given = functools.reduce(merge, [base, *reversed(scale.values()), overrides])
    merged, attack, attacks = given, given.get("attack"), given.get("attacks")
    if isinstance(attack, dict) and isinstance(attacks, dict):
        merged = given | {
            "attacks": {
                name: merge(attack, over or {}) if isinstance(over, dict | None) else over
                for name, over in attacks.items()
            }
        }
    try:
        return Config.model_validate(merged)
    except ValidationError as error:
        raise ConfigError(explain(error, given, layers)) from None
