"""A small real run of every stage in one process, and the stages that read its files again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from uae import config
from uae.cli import contrastive, reconstruction, robustness, supervised
from uae.data import catalogue
from uae.data.prepared import prepare
from uae.methods import Method

TINY = Path(__file__).with_name("tiny.yaml")
DENSE, CONVOLUTIONAL, SPARSE, CLASSIFIER, SIMCLR = (
    config.Row(*name.split("/"))
    for name in ("mnist/dense", "mnist/convolutional", "svhn/sparse", "mnist/classifier", "cifar10/simclr")
)
ROBUST = [config.Row("mnist", name) for name in ("classifier", "madry", "trades")]


class Tiny:
    """The tiny scale below a folder, with other settings on top."""

    def __init__(self, folder: Path, **over: Any):
        self.folder, self.results, self.data = folder, folder / "results" / "tiny", folder / "data"
        base = config.read_yaml(config.ROOT / "config" / "config.yaml")
        over |= {"methods": ["mine-uae", "l2-uae-released", "ga-0.01", "matched"]}
        self.cfg = config.load(config.merge(base, {"scale": str(TINY), "device": "cpu"} | over))

    def prepared(self, name: str) -> Path:
        path = self.data / "prepared" / f"{name}.safetensors"
        if not path.exists():
            prepare(name, self.data / "raw" / catalogue.folder(name), path)
        return path

    def source(self, row: config.Row) -> Path:
        if row == CLASSIFIER:
            return self.prepared(self.cfg.classifier_data(row))
        if row == SIMCLR:
            return self.prepared(self.cfg.contrastive.data)
        return self.prepared(self.cfg.data_name(row))

    def files(self, kind: str, row: config.Row) -> Path:
        return self.results / kind / row.dataset / row.model

    def checkpoint(self, row: config.Row, method: str, seed: int = 0) -> Path:
        return self.files("checkpoints", row) / method / f"seed{seed}.safetensors"

    def set(self, row: config.Row, method: str, seed: int = 0) -> Path:
        return self.files("uae", row) / method / f"seed{seed}.safetensors"

    # The stages, as the workflow calls them.

    def make(self, row: config.Row, seed: int = 0, together: bool = True, method: str = "mine-uae") -> None:
        """All of a row; or the retraining of a method alone."""
        folders = self.source(row), self.files("checkpoints", row), self.files("uae", row)
        if row == SIMCLR:
            runs = ["original", "mine-uae"] if together else [method]
            steps = [[{"runs": [{"method": m, "settings": self.cfg.contrastive.training(m)}]}] for m in runs]
        else:
            (job,) = self.cfg.jobs(row)
            steps = [self.cfg.steps(row, job)]
            if not together:
                wanted = [run for step in steps[0] for run in step.get("runs", []) if run["method"] == method]
                steps = [[{"runs": wanted}]]
        for number, step in enumerate(steps):
            if number:
                self.generate_simclr(seed)
            reconstruction.make(*folders, steps=json.dumps(step), seed=seed)

    def generate(self, row: config.Row, method: str) -> None:
        attacks = {method: self.cfg.attacking(row.model, method)}
        step = {"attacked": Method(method).attacked, "attacks": attacks}
        folders = self.source(row), self.files("checkpoints", row), self.files("uae", row)
        reconstruction.make(*folders, steps=json.dumps([step]))

    def generate_simclr(self, seed: int = 0) -> None:
        attack = self.cfg.contrastive.attacking(self.cfg.attacking("simclr", "mine-uae"))
        steps = [{"attacked": "original", "attacks": {"mine-uae": attack}}]
        folders = self.source(SIMCLR), self.files("checkpoints", SIMCLR), self.files("uae", SIMCLR)
        reconstruction.make(*folders, steps=json.dumps(steps), seed=seed)

    def evaluate(self, row: config.Row, seed: int = 0) -> None:
        runs = [config.Run("original", None), *self.cfg.runs(row)]
        names = [
            f"{run.method}/seed{seed}" + (f"-draw{run.draw}" if run.draw is not None else "") for run in runs
        ]
        paths = [self.files("checkpoints", row) / f"{name}.safetensors" for name in names]
        uae, records = self.files("uae", row), self.files("records/reconstruction", row)
        reconstruction.evaluate(paths, self.source(row), uae, *row, records)

    def evaluate_simclr(self) -> None:
        paths = [self.checkpoint(SIMCLR, method) for method in ("original", "mine-uae")]
        settings = json.dumps(self.cfg.contrastive.measuring())
        uae, records = self.files("uae", SIMCLR), self.files("records/contrastive", SIMCLR)
        contrastive.evaluate(paths, self.source(SIMCLR), uae, SIMCLR.dataset, records, settings)

    def examples(self) -> None:
        row, out = CONVOLUTIONAL, self.files("records/figure5", CONVOLUTIONAL) / "mine-uae/seed0.safetensors"
        paths = self.source(row), self.checkpoint(row, "original"), self.set(row, "mine-uae")
        reconstruction.examples(*paths, "mine-uae", out)

    def train_classifier(self) -> None:
        settings = json.dumps(self.cfg.supervised.classifier(CLASSIFIER.dataset))
        paths = self.source(CLASSIFIER), self.checkpoint(CLASSIFIER, "original")
        supervised.train_classifier(*paths, settings)

    def attack_classifier(self) -> None:
        sets = [
            {"name": attack.name, "draw": attack.draw, "settings": attack.settings}
            for attack in self.cfg.supervised_sets(CLASSIFIER)
            if attack.item == "figure3"
        ]
        paths = self.source(CLASSIFIER), self.checkpoint(CLASSIFIER, "original")
        supervised.attack_classifier(*paths, self.files("uae", CLASSIFIER), json.dumps(sets))

    def measure_classifier(self) -> None:
        items = {item: self.cfg.supervised.measuring(item, "mnist") for item in ("figure3", "table1")}
        row = CONVOLUTIONAL
        other = {
            "dataset": row.dataset,
            "model": row.model,
            "data": str(self.source(row)),
            "checkpoint": str(self.checkpoint(row, "original")),
            "uae": {"mine-uae": str(self.set(row, "mine-uae"))},
        }
        items["table1"]["names"] = {"mine-uae": "unsupervised-example"}
        supervised.measure_classifier(
            self.source(CLASSIFIER),
            self.checkpoint(CLASSIFIER, "original"),
            self.files("uae", CLASSIFIER),
            self.results / "records",
            "mnist",
            json.dumps(items),
            json.dumps(other),
        )

    def train_robust(self, models: tuple[str, ...] = ("classifier", "madry", "trades")) -> None:
        runs = [
            {
                **run._asdict(),
                "data": str(self.prepared(self.cfg.robust_data(run))),
                "settings": self.cfg.robustness.training(run),
            }
            for row in ROBUST
            if row.model in models
            for run in self.cfg.robust_runs(row)
        ]
        uae = self.set(CONVOLUTIONAL, "mine-uae")
        robustness.train_robust(self.results / "checkpoints" / "robustness", json.dumps(runs), uae)

    def attack_robust(self, models: tuple[str, ...] = ("classifier", "madry", "trades")) -> None:
        rows = [
            {
                **row._asdict(),
                "methods": self.cfg.robust_model(row).methods,
                "data": str(self.prepared(self.cfg.robust_data(row))),
                "settings": self.cfg.robustness.attacking(*row),
            }
            for row in ROBUST
            if row.model in models
        ]
        folders = self.results / "checkpoints" / "robustness", json.dumps(rows), self.results / "records"
        robustness.attack_robust(*folders)

    def all(self) -> None:
        for row, seed in [(DENSE, 0), (DENSE, 1), (CONVOLUTIONAL, 0), (SPARSE, 0)]:
            self.make(row, seed)
            self.evaluate(row, seed)
        self.make(SIMCLR)
        stages = (
            self.examples, self.train_classifier, self.attack_classifier,
            self.measure_classifier, self.train_robust, self.attack_robust,
        )  # fmt: skip
        for stage in stages:
            stage()
