"""The hours of a configuration's jobs, from measured jobs.

Every record keeps the seconds and the device of the jobs that it depends on. A job counts as measured if a
job with the same stage, data set, model, data and settings was measured; seeds and draws do not matter. If
only another size of a training or attack was measured, its hours are scaled by the work: samples times
steps. All other jobs count as not measured.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

from uae import config, identity, records
from uae.data import catalogue
from uae.methods import Method
from uae.plan import plan, seed_of
from uae.plan.experiments import Job, prepared

# By stage of a record's provenance, the argument of the evaluation that names the stage's file
BEHIND = {"training": "checkpoint", "attack": "uae"}
DEVICES = ("gpu", "cpu")


class Run(NamedTuple):
    """A job that ran, with its seconds and its device."""

    job: Job
    seconds: float
    device: str

    @property
    def kind(self) -> str:
        return "cpu" if self.device.startswith("CPU") else "gpu"


@dataclass
class Hours:
    """The jobs of a stage.

    hours, counted: by device (gpu, cpu), the hours and the number of the jobs that were measured on it,
        scaled ones included. A job that was measured on both counts in both.
    measured, scaled: numbers of jobs.  missing: the rows of the other jobs.
    """

    jobs: int = 0
    measured: int = 0
    scaled: int = 0
    hours: dict[str, float] = field(default_factory=lambda: dict.fromkeys(DEVICES, 0.0))
    counted: dict[str, int] = field(default_factory=lambda: dict.fromkeys(DEVICES, 0))
    missing: set[str] = field(default_factory=set)


def runs(results: Path) -> list[Run]:
    """The jobs that the records below a folder of scales depend on, one per file.

    Records of settings that their scale no longer has are left out. Raises BadFile for a damaged record.
    """
    found: dict[str, Run] = {}
    for scale in config.files.scales():
        cfg = config.load({"scale": scale})
        jobs: dict[int | None, Mapping[str, Job]] = {None: plan(cfg)}
        for path in sorted((results / scale / "records").rglob("*.json")):
            output = f"results/{scale}/{path.relative_to(results / scale).as_posix()}"
            seed = None if output in jobs[None] else seed_of(output)
            if seed not in jobs:
                jobs[seed] = plan(cfg, seed)
            if output in jobs[seed]:
                for run in _behind(records.read(path), output, jobs[seed]):
                    found.setdefault(run.job.output, run)
    return list(found.values())


def _behind(record: records.Record, output: str, jobs: Mapping[str, Job]) -> Iterator[Run]:
    """The evaluation that wrote a record, and the training and the attack before it."""
    if evaluation := record.provenance.get("evaluation"):
        yield Run(_on(jobs[output], record), evaluation.seconds, evaluation.device)
    for stage, argument in BEHIND.items():
        files = jobs[output].inputs.get(argument, [])
        files = [files] if isinstance(files, str) else files
        if stage in record.provenance and len(files) == 1 and files[0] in jobs:
            job, made = _on(jobs[files[0]], record), record.provenance[stage]
            asked, used = job.settings, record.settings
            if stage == "attack":  # records from before the hashes have one block of settings
                used = used.get("attack", {})
                asked = asked.get("attack", {}) | {"mi": asked.get("mine")} if "mi" in used else asked
            if made.settings_hash == identity.hash_of(job.settings) or _agree(asked, used):
                yield Run(job, made.seconds, made.device)


def _on(job: Job, record: records.Record) -> Job:
    """The job with the data that a record names, which may be fewer or more than the scale's present data."""
    if "data" not in job.inputs:
        return job
    return job._replace(inputs=job.inputs | {"data": prepared(record.variant)})


def _agree(asked: Any, used: Any) -> bool:
    """Whether two blocks of settings share a key, and agree in all shared keys."""
    if isinstance(asked, dict) and isinstance(used, dict):
        both = asked.keys() & used.keys()
        return bool(both) and all(_agree(asked[key], used[key]) for key in both)
    return asked == used


def by_stage(jobs: Mapping[str, Job], measured: list[Run]) -> dict[str, Hours]:
    """The hours of each stage of a plan."""
    exact: dict[Any, dict[str, list[float]]] = {}
    rates: dict[Any, dict[str, list[float]]] = {}
    for run in measured:
        exact.setdefault(_kind(run.job), {}).setdefault(run.kind, []).append(run.seconds)
        if work := _work(run.job):
            kind = _kind(run.job, sized=False)
            rates.setdefault(kind, {}).setdefault(run.kind, []).append(run.seconds / work)
    found = {stage: Hours() for stage in ("train", "attack", "evaluate")}
    for job in jobs.values():
        stage, work = found[job.stage], _work(job)
        stage.jobs += 1
        if seconds := exact.get(_kind(job)):
            stage.measured += 1
        elif work and (seconds := rates.get(_kind(job, sized=False))):
            stage.scaled += 1
            seconds = {device: [rate * work for rate in known] for device, known in seconds.items()}
        else:
            stage.missing.add("/".join(_row(job)))
            continue
        for device, known in seconds.items():
            stage.hours[device] += mean(known) / 3600
            stage.counted[device] += 1
    return found


def _row(job: Job) -> tuple[str, ...]:
    """The folders of a job's file below results/<scale>/checkpoints, uae or records, without its method."""
    names = identity.names(job.output)
    return tuple(part for part in (names.experiment, names.dataset, names.model) if part)


def _kind(job: Job, sized: bool = True) -> tuple[Any, ...]:
    """A key that jobs of equal length share; without sizes, jobs of equal length per sample and step."""
    names, settings = identity.names(job.output), job.settings
    row = (job.stage, *_row(job))
    method = (names.method,) if job.stage == "evaluate" else ()
    data = (job.inputs.get("data"), _copies(job))
    if sized:
        return (*row, *method, *data, identity.hash_of(settings))
    if job.stage == "train":
        block = settings.get("fit", settings)
        same = {
            "network": settings["network"],
            "arguments": settings["arguments"],
            "batch": block.get("batch_size"),
        }
    else:
        block = "settings" if "images" in settings else "attack"
        same = settings | {"images": None, block: settings[block] | {"steps": None}}
    return (*row, json.dumps(same, sort_keys=True))


def _copies(job: Job) -> int:
    """The number of samples that a training sees per original."""
    method = identity.names(job.output).method
    if job.stage != "train" or method is None or method == "original":
        return 1
    return 1 + Method(method).rounds


def _work(job: Job) -> float:
    """Samples times steps (for a training: times epochs and the passes of an adversary), up to a factor that
    all jobs of a kind share. 0 if the size is not known."""
    settings = job.settings
    if job.stage == "evaluate":
        return 0.0
    entry, limit = catalogue.lookup(Path(job.inputs["data"]).stem)
    transformed = catalogue.parse(Path(job.inputs["data"]).stem).transformed
    samples = (limit or entry.train) * (1 + transformed)
    if job.stage == "train":
        epochs = settings.get("fit", settings).get("epochs", 0)
        return samples * _copies(job) * epochs * (1 + (settings.get("adversary") or {}).get("steps", 0))
    block = settings["settings"] if "images" in settings else settings["attack"]
    return settings.get("images", samples) * block.get("steps", 0)
