import json
import os
import shlex
import sys
from pathlib import Path

from uae.config import load, sigma_of
from uae.errors import ConfigError

try:
    cfg = load(config)
except ConfigError as error:
    raise WorkflowError(str(error))

# Jobs run the `uae` beside the Python that runs Snakemake, whether or not its environment is active.
os.environ.update(PATH=os.pathsep.join([str(Path(sys.executable).parent), os.getenv("PATH", "")]))

RESULTS = f"results/{cfg.name}"
DEVICE = cfg.resolved_device
# A job on the CPU gets a quarter of the cores, so that several run side by side.
THREADS = max(1, workflow.cores // 4) if workflow.cores else 1
GPU = int(DEVICE == "cuda")

if DEVICE == "cpu" and cfg.device == "auto" and workflow.is_main_process:
    logger.info("No GPU found: everything runs on the CPU.")


wildcard_constraints:
    dataset="[a-z0-9-]+",
    model="[a-z0-9-]+",
    method="original|(mine|l2)-uae(-released)?|matched|ga-[0-9.]+",
    attack="(mine|l2)-uae(-released)?",
    seed="[0-9]+",
    draw="(-draw[0-9]+)?",
    data="[a-z0-9@-]+",


TABLES = ["table4", "table8"]
FIGURES = ["figure5"] if cfg.panels else []

# The modules that each stage runs: an edit of one of them reruns exactly the stages that use it.
SOURCES = {
    "prepare": ["data/prepared.py", "data/readers.py"],
    "train": ["models", "seeding.py", "stages/train.py", "training"],
    "retrain": ["augment.py", "models", "seeding.py", "stages/train.py", "training"],
    "attack": ["attacks", "losses.py", "mine", "models", "sampling.py", "seeding.py", "stages/generate.py"],
    "evaluate": ["augment.py", "evaluation", "losses.py", "records.py", "stages/evaluate.py"],
    "tables": ["paper/tables.py", "paper/tables.yaml", "paper/reference"],
    "figures": ["paper/figures.py", "paper/paper.mplstyle", "paper/tables.py", "paper/tables.yaml"],
    "report": ["paper/report.py", "paper/report.html.jinja", "paper/tables.py", "paper/tables.yaml"],
}


def sources(stage):
    """The files of src/uae that a stage runs."""
    found = []
    for name in SOURCES[stage]:
        path = Path("src/uae") / name
        found += sorted(path.rglob("*.*")) if path.is_dir() else [path]
    return [str(path) for path in found if "__pycache__" not in path.parts]


def prepared(wildcards):
    return f"data/prepared/{cfg.data_name(wildcards.dataset)}.safetensors"


def settings(stage):
    """The job's settings as JSON: a parameter, so that a change reruns the job."""
    return lambda wildcards: json.dumps(stage(wildcards), sort_keys=True)


def checkpoints(wildcards):
    """The checkpoints of one data set, model and seed, the original first."""
    folder = f"{RESULTS}/checkpoints/{wildcards.dataset}/{wildcards.model}"
    return [
        f"{folder}/{method}/seed{wildcards.seed}{run}.safetensors"
        for method in ["original", *cfg.methods]
        for run in cfg.runs(method)
    ]


def noise_options(wildcards):
    """The command line's noise level and draw of a Gaussian augmentation."""
    sigma = sigma_of(wildcards.method)
    return f"--sigma {sigma} --draw {wildcards.draw.removeprefix('-draw')}" if sigma else ""


def uae_sets(wildcards):
    """The UAE sets of one data set, model and seed."""
    folder = f"{RESULTS}/uae/{wildcards.dataset}/{wildcards.model}"
    return {
        method: f"{folder}/{method}/seed{wildcards.seed}.safetensors"
        for method in cfg.methods
        if "-uae" in method
    }


def reconstruction_records():
    """The records of the rows of Tables 4 and 8 that were asked for; when frozen, those that are there.

    The tables show every record of their folder: a run of one row leaves the others in.
    """
    folder = f"{RESULTS}/records/reconstruction"
    if cfg.records == "frozen":
        return sorted(map(str, Path(folder).rglob("*.json")))
    return [
        f"{folder}/{dataset}/{model}/{method}/seed{seed}{run}.json"
        for dataset, model in cfg.rows
        for seed in cfg.seeds
        for method in ["original", *cfg.methods]
        for run in cfg.runs(method)
    ]
