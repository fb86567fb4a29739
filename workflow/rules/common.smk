import json
import os
import re
import sys
from pathlib import Path

import snakemake.benchmark

from uae import gpus, plan
from uae.config import ROOT, gpu, load
from uae.data import catalogue
from uae.errors import ConfigError
from uae.paper import filling
from uae.paper.layouts import items, shown_files
from uae.sources import of as sources

if workflow.is_main_process and ROOT.resolve() != Path.cwd().resolve():
    raise WorkflowError(
        f"This environment's `uae` is that of {ROOT}, not of this folder: jobs would run the code and the "
        "scales there. Run `make .venv/installed` here and use this folder's .venv."
    )

try:
    cfg = load(config, workflow.configfiles if workflow.is_main_process else ())
except ConfigError as error:
    raise WorkflowError(str(error))

# `benchmark:` measures a new job's memory twice a second, for about 20 ms: too often for jobs of seconds.
snakemake.benchmark.BENCHMARK_INTERVAL_SHORT = 5

RESULTS = f"results/{cfg.name}"
DEVICE = gpu.resolved(cfg.device)
GPU = int(DEVICE == "cuda")
# Jobs run the `uae` beside the Python that runs Snakemake, even if its environment is not active. Each job chooses its
# GPU (`uae.gpus`). These variables are not in commands, so that a change of the share reruns nothing.
here = str(Path(sys.executable).parent)
os.environ.update(PATH=os.pathsep.join([here, os.getenv("PATH", "")]), UAE_GPU_SHARE=str(cfg.gpu_share))
# A job on the CPU gets a quarter of the cores, so that several run in parallel. A job on a GPU needs one core.
# PyTorch uses as many threads. The last digits depend on their number, so records state it.
THREADS = max(1, (workflow.cores or 1) // 4) if not GPU else 1


wildcard_constraints:
    scale=re.escape(cfg.name),
    dataset="(robustness/)?[^/]+",  # robust models have a separate folder
    experiment="[^/]+",
    model="[^/]+",
    method="[^/]+",
    run="seed[0-9]+(-draw[0-9]+)?",
    data="[^/]+",


PLAN = plan.plan(cfg)  # the jobs of the configuration, by output
if workflow.is_main_process:
    note = " (no GPU found)" * (cfg.device == "auto" and not GPU)
    logger.info(plan.summary(cfg, PLAN, f"{DEVICE}{note}"))
    asked, slots = workflow.global_resources.get("gpu").value or 0, len(gpus.devices()) * cfg.gpu_share
    if GPU and workflow.local_exec and 0 < slots < asked:
        logger.warning(
            f"gpu={asked}: the GPUs have only {slots} slots, so jobs will wait; gpu_share=N lets N jobs share one"
        )

RUN = "uae run {params.jobs:q} --made {params.made:q} --device {resources.device} > {log} 2>&1"


def job_of(output):
    """The job that makes a file. A named seed is planned even if not configured, but not with `together: true`."""
    if output not in PLAN and (seed := plan.seed_of(output)) is not None:
        PLAN.update(plan.plan(cfg, seed) | PLAN)
    if output not in PLAN:
        raise WorkflowError(f"{output}: this configuration has no such file: no such row, method or draw")
    return PLAN[output]


def inputs_of(pattern):
    """The input files of a rule's job, by the pattern of its output."""
    return lambda wildcards: job_of(pattern.format(**wildcards)).files


# A change of these two parameters makes the files again. Snakemake compares parameters that depend only on wildcards.


def jobs_of(*patterns):
    """The argument of `uae run`, by the patterns of the rule's outputs."""
    return lambda wildcards: json.dumps(
        [job_of(pattern.format(**wildcards))._asdict() for pattern in patterns], sort_keys=True
    )


def made_with(*patterns):
    """The settings of all direct and indirect inputs, so that a change counts even if an input was deleted."""
    return lambda wildcards: json.dumps(
        plan.made(PLAN, [job_of(pattern.format(**wildcards)).output for pattern in patterns]), sort_keys=True
    )


RECORDS = {}  # by experiment
for job in PLAN.values():
    if job.stage == "evaluate":
        RECORDS.setdefault(job.experiment, []).append(job.output)


def every(experiment):
    """The records of an experiment: those of the configuration or, if frozen, the existing ones.
    Records of another scale replace missing ones, so that a run of one row keeps the other rows in tables.
    """
    live, asked = cfg.records == "live", RECORDS.get(experiment, [])
    more = filling.filled(Path(RESULTS), cfg.fill, experiment, planned=asked if live else [])
    return [*(asked if live else map(str, filling.own(Path(RESULTS), experiment))), *map(str, more)]


def shown_in(item):
    """The records that a table or figure shows."""
    return shown_files(item, every, planned=PLAN if cfg.records == "live" else ())


TABLES = [name for name in items()["tables"] if shown_in(name)]
FIGURES = [name for name in items()["figures"] if shown_in(name)]
GRIDS = [name for name in FIGURES if items()["figures"][name]["numbers"] == "safetensors"]


def caption(item):
    """The caption of a table or figure in Snakemake's report."""
    return Path(f"workflow/report/{item}.rst").read_text(encoding="utf-8")


def files_of(name):
    """The files of a named target: an item's or, after `raw_`, a data set's."""
    if name in items()["tables"]:
        found = [f"{RESULTS}/tables/{name}.csv"] * (name in TABLES)
    elif name in items()["figures"]:
        found = [f"{RESULTS}/figures/{name}.png"] * (name in FIGURES)
    else:
        entry, folder = catalogue.raw(name.removeprefix("raw_"))
        found = [f"data/raw/{folder}/{file}" for file in entry.files]
    if not found:
        raise WorkflowError(f"{name}: this configuration has no job for it, and {RESULTS} no record")
    return found


RAW = map("raw_{}".format, (*catalogue.entries(), *catalogue.models()))
NAMES = {*items()["tables"], *items()["figures"], *RAW}
