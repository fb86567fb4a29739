"""The plan of a configuration: a job for each file, with its inputs and settings.

One of three stages (`uae.stages`) makes every file: `train` writes checkpoints, `attack` writes sets of
examples, and `evaluate` writes records and the data of figures. The Snakemake rules of the same names look
their jobs up here, and `uae check` compares files with them. It imports neither torch nor Snakemake.
"""

from __future__ import annotations

import graphlib
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from uae import identity
from uae.config import Config, load
from uae.data import catalogue
from uae.plan.classifiers import supervised
from uae.plan.experiments import Job, Plan

__all__ = ["Job", "made", "plan", "seed_of", "settings", "summary", "together"]


def plan(cfg: Config, seed: int | None = None) -> dict[str, Job]:
    """The jobs by output, with paths relative to the project's folder. seed: replaces all seeds of `cfg`."""
    found = Plan(cfg, seed)
    found.reconstruction()
    found.estimator()
    found.contrastive()
    supervised(found)
    found.robustness()
    # Of a row that `only` leaves out and whose UAEs are used, just what these need is made.
    measured = [output for output, job in found.jobs.items() if job.stage == "evaluate"]
    needed = behind(found.jobs, measured)
    return {output: job for output, job in found.jobs.items() if output in needed}


def summary(cfg: Config, planned: dict[str, Job], device: str) -> str:
    """One line with scale, rows, device, data and reductions: it reveals a `--config` that another replaced.

    planned: the jobs of cfg.  device: the device in words.
    """
    if cfg.records == "frozen":
        return f"Scale {cfg.name}, frozen records: tables and figures are rendered only"
    rows = ["/".join(row) for row in cfg.asked_for(cfg.every_row())]
    first = ", ".join(rows[:3] + ["..."] * (len(rows) > 3))
    parts = [
        f"Scale {cfg.name}: {len(rows)} row" + "s" * (len(rows) != 1) + f" ({first})",
        f"device {device}",
    ]
    data = sorted({Path(job.inputs["data"]).stem for job in planned.values() if "data" in job.inputs})
    for whole, words in ((True, "data"), (False, "reduced data")):
        if names := [name for name in data if catalogue.complete(name) == whole]:
            parts.append(f"{words} {', '.join(names[:4] + ['...'] * (len(names) > 4))}")
    paper = {_below(output): job.settings for output, job in plan(load({"scale": "paper"})).items()}
    other = sum(paper.get(_below(output), job.settings) != job.settings for output, job in planned.items())
    if other:
        parts.append(f"{other} of {len(planned)} jobs with other settings than scale paper")
    return "; ".join(parts)


def _below(output: str) -> str:
    """The part of a path below results/<scale>."""
    return output.split("/", 2)[2]


def seed_of(output: str) -> int | None:
    """The seed in a file's name."""
    found = re.search(r"/seed(\d+)(-draw\d+)?\.[a-z]+$", output)
    return int(found[1]) if found else None


def settings(planned: dict[str, Job]) -> dict[str, str]:
    """The hash of the settings of every checkpoint and set of examples, by its folder in results/<scale>.

    All seeds and draws share the settings."""
    return {
        _folder(job.output): identity.hash_of(job.settings)
        for job in planned.values()
        if job.stage != "evaluate"
    }


def made(planned: dict[str, Job], outputs: Iterable[str]) -> dict[str, str]:
    """By folder, the hashes of the settings of all direct and indirect inputs of the given files.

    They are a parameter of the rules. So a change makes a file again, even if its inputs were deleted, and a
    job refuses inputs that were made with other settings.
    """
    return settings(behind(planned, [file for output in outputs for file in planned[output].files]))


def behind(planned: dict[str, Job], outputs: Iterable[str]) -> dict[str, Job]:
    """The planned jobs of the given files and of all their direct and indirect inputs."""
    found, waiting = {}, list(outputs)
    while waiting:
        file = waiting.pop()
        if file in planned and file not in found:
            found[file] = planned[file]
            waiting += planned[file].files
    return found


FULLY_CONNECTED = ("sparse", "dense", "adversarial", "concrete")
# The jobs of a group are one argument of `uae run`. Linux allows 128 KiB for it, and 100 jobs have about 60.
MOST_TOGETHER = 100


def together(planned: dict[str, Job]) -> dict[str, list[Job]]:
    """The jobs in groups, by name. Within a group, a file is made before it is read.

    A group has a model and a data set with its variants (svhn, svhn-noise), or all fully connected
    autoencoders of a data set, or all its robust models, which are compared with each other. It has as many
    seeds as give at most `MOST_TOGETHER` jobs, but at least one. Those that remain are groups named after
    their first seed.
    """
    counts = Counter((_family(output), seed_of(output)) for output in planned)
    sizes: Counter[str] = Counter()
    last: dict[str, str] = {}  # by family, the name of its last group
    names = {}
    for (family, seed), count in counts.items():
        if sizes[last.setdefault(family, family)] + count > MOST_TOGETHER and sizes[family]:
            last[family] = f"{family}_seed{seed}"
        names[family, seed] = last[family]
        sizes[last[family]] += count
    groups: dict[str, list[Job]] = {}
    order = graphlib.TopologicalSorter({job.output: job.files for job in planned.values()}).static_order()
    for output in order:
        if output in planned:
            groups.setdefault(names[_family(output), seed_of(output)], []).append(planned[output])
    return groups


def _family(output: str) -> str:
    """The name of the groups that make a file."""
    kind, *rest = output.split("/")[2:-1]
    first = rest.pop(0) if kind == "records" else ""
    robust = "robustness" in (first, rest[0]) or first == "figure6"
    dataset, model = [part for part in rest if part != "robustness"][:2]
    models = "robust" if robust else "fully-connected" if model in FULLY_CONNECTED else model
    return f"{dataset.partition('-')[0]}_{models}"


def _folder(output: str) -> str:
    return "/".join(output.split("/")[2:-1])
