"""The files of each experiment."""

from __future__ import annotations

from typing import Any, NamedTuple

from uae.config import Config, Row, Run
from uae.config.blocks import Placed
from uae.methods import Method

Inputs = dict[str, Any]  # by argument of the stage, the path or paths of its inputs


class Job(NamedTuple):
    """How one file is made.

    stage: train, attack or evaluate.  output: the file.  inputs: by argument of the stage, a path or a list
    of paths.  settings: the other arguments of the stage.
    """

    stage: str
    output: str
    inputs: Inputs
    settings: dict[str, Any]

    @property
    def files(self) -> list[str]:
        """The files that the job reads."""
        found: list[str] = []
        for paths in self.inputs.values():
            found += paths if isinstance(paths, list) else [paths]
        return list(dict.fromkeys(found))

    @property
    def experiment(self) -> str:
        """The folder of records for an evaluated file; otherwise the stage."""
        return self.output.split("/")[3] if self.stage == "evaluate" else self.stage


class Plan:
    """The jobs so far, and the paths of files.

    seed: replaces all seeds of the configuration; None keeps them.
    """

    def __init__(self, cfg: Config, seed: int | None):
        self.cfg, self.seed, self.root = cfg, seed, f"results/{cfg.name}"
        self.jobs: dict[str, Job] = {}

    def add(self, stage: str, output: str, settings: dict[str, Any], **inputs: Any) -> None:
        self.jobs[output] = Job(stage, output, inputs, settings)

    # Paths

    def checkpoint(self, row: Placed, method: str, seed: int, draw: int | None = None) -> str:
        return f"{self.root}/checkpoints/{row.dataset}/{row.model}/{method}/{_run(seed, draw)}.safetensors"

    def robust_checkpoint(self, row: Placed, method: str, seed: int) -> str:
        return (
            f"{self.root}/checkpoints/robustness/{row.dataset}/{row.model}/{method}/{_run(seed)}.safetensors"
        )

    def uae(self, row: Placed, attack: str, seed: int, draw: int | None = None) -> str:
        return f"{self.root}/uae/{row.dataset}/{row.model}/{attack}/{_run(seed, draw)}.safetensors"

    def sets(self, row: Placed, method: str, seed: int) -> list[str]:
        """The UAE sets that a retraining adds to the originals."""
        return [self.uae(row, attack, seed) for attack in Method(method).attacks]

    def record(self, experiment: str, row: Placed, method: str, seed: int, draw: int | None = None) -> str:
        return f"{self.root}/records/{experiment}/{row.dataset}/{row.model}/{method}/{_run(seed, draw)}.json"

    def shown(self, figure: str, row: Placed, seed: int, *method: str) -> str:
        folder = "/".join([self.root, "records", figure, row.dataset, row.model, *method])
        return f"{folder}/{_run(seed)}.safetensors"

    # Experiments

    def row_seeds(self, row: Row) -> list[int]:
        """The row's seeds, and those of the rows that take its UAEs."""
        if self.seed is not None:
            return [self.seed]
        cfg, table1 = self.cfg, self.cfg.supervised.table1
        seeds = list(cfg.row_seeds(row))
        if (table1.dataset, table1.model) == row:
            seeds += cfg.seeds
        for source, _ in cfg.uae_sources:
            if (source.dataset, source.model) == row:
                seeds += [source.seed(own) for own in cfg.robustness.seeds]
        return list(dict.fromkeys(seeds))

    def reconstruction(self) -> None:
        cfg = self.cfg
        for row in cfg.made_rows:
            data, original = prepared(cfg.data_name(row)), Run("original", None)
            for seed in self.row_seeds(row):
                for method, draw in [original, *cfg.runs(row)]:
                    self.add(
                        "train",
                        self.checkpoint(row, method, seed, draw),
                        cfg.training(row, method),
                        data=data,
                        uae=self.sets(row, method, seed),
                    )
                for attack in cfg.row_attacks(row):
                    attacked = self.checkpoint(row, Method(attack).attacked, seed)
                    settings = cfg.attacking(row.model, attack)
                    self.add("attack", self.uae(row, attack, seed), settings, data=data, checkpoint=attacked)
            for seed in self.seeds(cfg.row_seeds(row)):
                for method, draw in [original, *cfg.runs(row)] if row in cfg.rows else []:
                    self.add(
                        "evaluate",
                        self.record("reconstruction", row, method, seed, draw),
                        {},
                        data=data,
                        checkpoint=self.checkpoint(row, method, seed, draw),
                        original=self.checkpoint(row, "original", seed),
                        parents=[
                            self.checkpoint(row, Method(attack).attacked, seed)
                            for attack in Method(method).attacks
                        ],
                        uae=self.sets(row, method, seed),
                    )
        for panel in cfg.panels:
            seed = self.first(cfg.row_seeds(panel))
            files = self.attacked(panel, seed)
            uae = self.uae(panel, panel.method, seed)
            self.add("evaluate", self.shown("figure5", panel, seed, panel.method), {}, **files, uae=uae)
        for long in cfg.stationarity:
            seed = self.first(cfg.row_seeds(long))
            along = self.shown("theorem1", long, seed, long.method)
            settings = {"attack": cfg.attacking(long.model, long.method)}
            settings |= long.model_dump(include={"samples", "steps", "horizons", "warm_up"})
            self.add("evaluate", along, settings, **self.attacked(long, seed))
            self.add("evaluate", self.record("theorem1", long, long.method, seed), {}, along=along)

    def attacked(self, row: Placed, seed: int) -> Inputs:
        """A row's data and the model that is attacked."""
        data = prepared(self.cfg.data_name(Row(row.dataset, row.model)))
        return {"data": data, "checkpoint": self.checkpoint(row, "original", seed)}

    def first(self, seeds: list[int]) -> int:
        """Figures of single runs show the first seed."""
        return seeds[0] if self.seed is None else self.seed

    def seeds(self, seeds: list[int]) -> list[int]:
        return seeds if self.seed is None else [self.seed]

    def estimator(self) -> None:
        """The trial of the estimator. It belongs to no row, so only a plan of all rows has it."""
        block, seed = self.cfg.estimator, self.first(self.cfg.seeds)
        known = block.model_dump(include={"nats", "pairs", "vectors", "maps"})
        for samples, model in block.models.items():
            for attack in block.attacks if self.cfg.only == "*" else []:
                settings = known | {"attack": self.cfg.attacking(model, attack)}
                target = self.record("estimator", Row("gaussian-pairs", samples), attack, seed)
                self.add("evaluate", target, settings)

    def contrastive(self) -> None:
        block = self.cfg.contrastive
        data = prepared(self.cfg.limited(block.data, block.train_limit))
        for row in self.cfg.contrastive_rows:
            for seed in self.seeds(self.cfg.seeds):
                original = self.checkpoint(row, "original", seed)
                for method in ["original", *block.methods]:
                    uae, checkpoint = self.sets(row, method, seed), self.checkpoint(row, method, seed)
                    self.add("train", checkpoint, block.training(method), data=data, uae=uae)
                    for attack in Method(method).attacks:
                        settings = block.attacking(self.cfg.attacking(row.model, attack))
                        target = self.uae(row, attack, seed)
                        self.add("attack", target, settings, data=data, checkpoint=original)
                    self.add(
                        "evaluate",
                        self.record("contrastive", row, method, seed),
                        block.measuring(),
                        data=data,
                        checkpoint=checkpoint,
                        parents=[original] * bool(uae),
                        uae=uae,
                    )

    def robustness(self) -> None:
        cfg = self.cfg
        for row in cfg.robust_made:
            data = prepared(cfg.robust_data(row))
            for seed in self.seeds(cfg.robustness.model_seeds(row)):
                for run in cfg.robust_runs(row):
                    settings, inputs = cfg.robustness.training(run), {"data": data, "uae": []}
                    if Method(run.method).attacks:
                        source = cfg.robustness.uaes[row.dataset]
                        inputs["uae"] = self.sets(source, run.method, source.seed(seed))
                    if published := cfg.robust_model(row).published:
                        inputs["published"] = published
                    target = self.robust_checkpoint(row, run.method, seed)
                    self.add("train", target, settings, **inputs)
        for row in cfg.robust_rows:
            data, model = prepared(cfg.robust_data(row)), cfg.robust_model(row)
            settings = cfg.robustness.attacking(*row)
            common = {key: settings[key] for key in ("eps", "images", "pgd")}
            for number, seed in enumerate(self.seeds(cfg.robustness.model_seeds(row))):
                minmax = {"minmax": settings["minmax"], **settings["longer"]}
                compared = {"pgd": common} | {
                    name: {**common, "minmax": attack} for name, attack in minmax.items()
                }
                asked = compared if model.minmax else dict.fromkeys(model.methods, common)
                if model.sanity:
                    asked |= {"sanity": {**common, "sanity": settings["sanity"]}}
                for name, wanted in asked.items():
                    method = name if name in model.methods else model.methods[0]
                    inputs = {"data": data, "checkpoint": self.robust_checkpoint(row, method, seed)}
                    if name == "sanity" and model.sanity:
                        other = Row(row.dataset, model.sanity.surrogate)
                        seeds = self.seeds(cfg.robustness.model_seeds(other))
                        its_seed = seed if seed in seeds else seeds[0]
                        inputs["surrogate"] = self.robust_checkpoint(other, "original", its_seed)
                    self.add("evaluate", self.record("robustness", row, name, seed), wanted, **inputs)
                if model.shown and not number:
                    inputs = {"data": data, "checkpoint": self.robust_checkpoint(row, model.methods[0], seed)}
                    shown = {**common, "minmax": settings["minmax"], "shown": settings["shown"]}
                    self.add("evaluate", self.shown("figure6", row, seed), shown, **inputs)


def _run(seed: int, draw: int | None = None) -> str:
    return f"seed{seed}" + (f"-draw{draw}" if draw is not None else "")


def prepared(data: str) -> str:
    return f"data/prepared/{data}.safetensors"
