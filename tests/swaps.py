"""A small real run of the plan in one process, and the jobs that read its files again."""

from __future__ import annotations

import fnmatch
import importlib
from pathlib import Path
from typing import Any

from uae import config, plan
from uae.data import catalogue
from uae.data.prepared import prepare

TINY = Path(__file__).with_name("tiny.yaml")
# Everything, but for SimCLR's records, Tables 2 and 3, and what a model of CIFAR-10 is needed for
WANTED = (
    "mnist/dense", "mnist/convolutional", "svhn/sparse", "cifar10/simclr", "mnist/classifier", "mnist/madry",
    "mnist/trades",
)  # fmt: skip


class Tiny:
    """The tiny scale below a folder, with other settings on top."""

    def __init__(self, folder: Path, **over: Any):
        self.folder, self.results, self.data = folder, folder / "results" / "tiny", folder / "data"
        own = {"scale": str(TINY), "device": "cpu", "only": ",".join(WANTED)}
        own["methods"] = ["mine-uae", "l2-uae-released", "ga-0.01", "matched"]
        own["reconstruction"] = {"mnist": {"models": {"dense": {"seeds": [0, 1]}}}}
        self.cfg = config.load(config.merge(own, over))
        self.plan = plan.plan(self.cfg)

    def path(self, place: str) -> Path:
        return self.results / place

    def make(self, *patterns: str) -> None:
        """Run the jobs whose outputs below results/tiny match a pattern, as the workflow's rules do."""
        ordered = [job for group in plan.together(self.plan).values() for job in group]
        found = [
            job
            for job in ordered
            if any(fnmatch.fnmatch(job.output.removeprefix("results/tiny/"), p) for p in patterns)
        ]
        assert found, patterns
        for job in found:
            inputs = {
                name: [self._input(path) for path in value] if isinstance(value, list) else self._input(value)
                for name, value in job.inputs.items()
            }
            stage = importlib.import_module(f"uae.stages.{job.stage}")
            stage.run(self.folder / job.output, settings=job.settings, **inputs)

    def _input(self, name: str) -> Path:
        path = self.folder / name
        if name.startswith("data/prepared/") and not path.exists():
            data = path.stem
            prepare(data, self.data / "raw" / catalogue.folder(data), path)
        return path
