"""An attacked classifier, the common start of the records of Tables 1 to 3 and Figures 1 to 4."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from uae import checkpoints, identity, records
from uae.attacks import AttackResult
from uae.data import prepared
from uae.evaluation import robustness
from uae.stages import use
from uae.stages.evaluate import writing


class Attacked:
    """A model, its data and some sets of its examples.

    part: the part of the data that the examples are made from.
    """

    def __init__(
        self,
        target: Path,
        data: Path,
        checkpoint: Path,
        sets: Sequence[Path],
        device: str,
        part: str = "test",
    ) -> None:
        use(device)
        self.clock, self.target, self.device = records.Clock(), target, device
        self.seed, self.source = identity.names(target).seed, prepared.load(data)
        self.model, self.run = checkpoints.load(checkpoint, device)
        self.sets = {path: AttackResult.load(path) for path in sets}
        self.files = {data: self.source.metadata, checkpoint: self.run}
        self.files |= {path: result.metadata for path, result in self.sets.items()}
        identity.inputs(self.files)  # it refuses sets of another training of the classifier
        self.x = self.source.unit(part).to(device)

    @property
    def results(self) -> list[AttackResult]:
        return list(self.sets.values())

    def originals(self, result: AttackResult) -> Tensor:
        return self.x.cpu()[result.index]

    def labels(self) -> Tensor:
        return torch.from_numpy(self.source.y_test).long().to(self.device)

    def metrics(self, result: AttackResult) -> dict[str, float]:
        """The metrics of every attack. Means are over its successes; without a success they are absent."""
        count = len(result) if result.eligible is None else int(result.eligible.sum())
        out = {"asr": result.success_rate, "n_attacked": count}
        if result.zero_gradient is not None:
            out["zero_gradients"] = int(result.zero_gradient.sum())
        return out | result.means(self.originals(result))

    def accuracy(self) -> dict[str, float]:
        return {"accuracy": robustness.accuracy(self.model, self.x, self.labels())}

    def save(
        self, metrics: dict[str, float], settings: dict[str, Any], sets: Sequence[AttackResult] = ()
    ) -> None:
        """Write the record. sets: the sets that it describes, the main one last."""
        device = records.device_name(self.device)
        provenance = {
            "training": self.run["provenance"],
            "evaluation": self.clock.provenance(settings, device),
        }
        if sets:
            attacks = [result.metadata["provenance"] for result in sets]
            provenance["attack"] = attacks[-1] | {"seconds": sum(attack["seconds"] for attack in attacks)}
        sizes = {"n_train": self.run["n_train"], "n_test": len(self.source.x_test)}
        writing.record(
            self.target,
            experiment="supervised",
            data=self.source.metadata,
            metrics=sizes | metrics,
            settings={"training": self.run["settings"], **settings},
            provenance=provenance,
            files=self.files,
        )

    def show(self, arrays: dict[str, np.ndarray], **metadata: Any) -> None:
        """Write a figure's images or curves."""
        writing.arrays(self.target, arrays, self.source.metadata, self.files, **metadata)
