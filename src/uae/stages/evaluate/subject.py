"""What an experiment measures: the files of its job, and the record or the figure's data that it writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from uae import checkpoints, curves, identity, records, storage
from uae.attacks import AttackResult
from uae.data import prepared
from uae.stages import Progress, use

MODELS = ("checkpoint", "original", "parents", "surrogate")
SETS = ("uae", "smaller", "paired")


class Subject:
    """The inputs of a job, read, and where its result goes.

    inputs: by name, a path or paths: of prepared data (`data`), checkpoints (MODELS) or sets of examples
        (SETS). The experiment reads others from `paths`.
    Raises BadFile for files that do not belong together, such as examples of another training of the model.
    """

    source: prepared.Prepared  # the data
    model: nn.Module  # of `checkpoint`
    run: dict[str, Any]  # the metadata of `checkpoint`

    def __init__(
        self,
        target: Path,
        *,
        settings: dict[str, Any],
        device: str = "cpu",
        progress: Progress | None = None,
        **inputs: Path | Sequence[Path],
    ) -> None:
        use(device)
        self.clock, self.names = records.Clock(), identity.names(target)
        self.target, self.settings, self.device, self.progress = target, settings, device, progress
        self.paths = {name: [path] if isinstance(path, Path) else [*path] for name, path in inputs.items()}
        self.files: dict[Path, Mapping[str, Any]] = {}  # by input, its metadata
        for path in self.paths.get("data", []):
            self.source = prepared.load(path)
            self.files[path] = self.source.metadata
        self._models: dict[Path, nn.Module] = {}
        for path in self._paths(MODELS):
            self._models[path], self.files[path] = checkpoints.load(path, device)
        if "checkpoint" in inputs:
            self.model, self.run = self.other("checkpoint"), dict(self.files[self.paths["checkpoint"][0]])
        self._sets = {path: AttackResult.load(path) for path in self._paths(SETS)}
        self.files |= {path: result.metadata for path, result in self._sets.items()}
        identity.inputs(self.files)  # it compares what the files say they were made from
        self._x: dict[str, Tensor] = {}

    def _paths(self, names: Sequence[str]) -> list[Path]:
        return list(dict.fromkeys(path for name in names for path in self.paths.get(name, [])))

    def other(self, name: str) -> nn.Module:
        """The model of an input, such as `surrogate`."""
        return self._models[self.paths[name][0]]

    def sets(self, name: str = "uae") -> list[AttackResult]:
        """The sets of examples of an input, none if the job lacks it."""
        return [self._sets[path] for path in self.paths.get(name, [])]

    def x(self, part: str) -> Tensor:
        """The `train` or `test` samples on the device, float32 (N, *shape) in [0, 1]."""
        if part not in self._x:
            self._x[part] = self.source.unit(part).to(self.device)
        return self._x[part]

    def y(self, part: str) -> Tensor:
        """Their labels, int64 (N,)."""
        return torch.from_numpy(getattr(self.source, f"y_{part}")).long().to(self.device)

    def originals(self, result: AttackResult, part: str) -> Tensor:
        """The originals of a set's examples, on the CPU as the set is."""
        return self.x(part)[result.index.to(self.device)].cpu()

    def save(
        self,
        metrics: dict[str, float],
        settings: dict[str, Any],
        *,
        sets: Sequence[AttackResult] = (),
        experiment: str | None = None,
        about: Mapping[str, Any] | None = None,
        earlier: Mapping[str, Any] | None = None,
    ) -> None:
        """Write the record. Its path names the measured model.

        sets: those that it describes, the main one last.  experiment: the record's, if it differs from the
        folder's. Such records share one model, so they do not repeat its training.  about, earlier: the
        metadata of the data and the provenance of earlier stages, if the inputs have none.
        """
        names, provenance, curve = self.names, dict(earlier or {}), None
        if "checkpoint" in self.paths:
            provenance["training"] = self.run["provenance"]
            metrics = metrics | {"n_train": self.run["n_train"], "n_test": len(self.source.x_test)}
            if experiment is None:
                history = self.run["history"]
                metrics = metrics | {"epochs": len(history), "steps": self.run["steps"]}
                curve = {"method": self.run["method"], **curves.thinned(history)} if history else None
        if sets:
            attacks = [result.metadata["provenance"] for result in sets]
            provenance["attack"] = attacks[-1] | {"seconds": sum(attack["seconds"] for attack in attacks)}
        about, experiment = about or self.source.metadata, experiment or names.experiment
        assert experiment is not None and names.method is not None  # of a record
        records.Record(
            experiment=experiment,
            dataset=names.dataset,
            variant=about["variant"],
            title=about["title"],
            model=names.model,
            method=names.method,
            seed=names.seed,
            draw=names.draw,
            metrics=metrics,
            settings=settings,
            provenance=provenance | {"evaluation": self.provenance()},
            curve=curve,
            inputs=identity.inputs(self.files),
        ).save(self.target)

    def provenance(self) -> records.Provenance:
        return self.clock.provenance(self.settings, records.device_name(self.device))

    def show(self, arrays: dict[str, np.ndarray], **more: Any) -> None:
        """Write a figure's images or curves. more: additional metadata."""
        about = {key: self.source.metadata[key] for key in ("variant", "title")}
        about |= {"dataset": self.names.dataset, "seed": self.names.seed}
        storage.write_tensors(self.target, arrays, about | {"inputs": identity.inputs(self.files)} | more)
