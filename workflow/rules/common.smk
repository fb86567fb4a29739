import json
import os
import shlex
import sys
from pathlib import Path

import snakemake.benchmark

from uae import plan
from uae.config import ROOT, Run, gpu, load
from uae.errors import ConfigError
from uae.methods import Method
from uae.paper import filling
from uae.paper.layouts import layouts, wanted
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

# Jobs run the `uae` beside the Python that runs Snakemake, whether or not its environment is active.
os.environ.update(PATH=os.pathsep.join([str(Path(sys.executable).parent), os.getenv("PATH", "")]))

# `benchmark:` looks at a new job's memory twice a second, for some 20 ms each: too often for jobs of seconds.
snakemake.benchmark.BENCHMARK_INTERVAL_SHORT = 5

RESULTS = f"results/{cfg.name}"
DEVICE = gpu.resolved(cfg.device)
GPU = int(DEVICE == "cuda")
# A job on the CPU gets a quarter of the cores, so that several run side by side; one on a GPU launches kernels.
# PyTorch takes as many threads, on which the last digits depend: records name them.
THREADS = max(1, (workflow.cores or 1) // 4) if not GPU else 1

if workflow.is_main_process:
    logger.info(cfg.summary)
    if cfg.records == "live":
        none = cfg.device == "auto" and not GPU
        logger.info("No GPU found: everything runs on the CPU." if none else f"Device: {DEVICE}")


wildcard_constraints:
    seed="[0-9]+",
    data="[a-z0-9@.+-]+",


def as_json(value):
    """A parameter, so that a change reruns the job. A function, because Snakemake would fill in braces."""
    text = json.dumps(value, sort_keys=True)
    return lambda wildcards: text


PLAN = plan.plan(cfg)


def settings_of(wildcards, input):
    """What the files that a job reads were made with, a parameter: a change reruns the job, even where they
    were deleted, and the job refuses files that were made with something else."""
    folders = [
        str(Path(path).parent.relative_to(RESULTS)) for path in input if path.startswith(f"{RESULTS}/")
    ]
    return json.dumps(plan.made(PLAN, folders), sort_keys=True)


# The unsupervised experiments

STAGES = {
    "train": "uae.stages.train",
    "retrain": "uae.stages.train",
    "generate": "uae.stages.generate",
}


def prepared(row):
    return f"data/prepared/{cfg.data_name(row)}.safetensors"


def files(kind, row):
    """The folder of a row's checkpoints, UAE sets or records."""
    return f"{RESULTS}/{kind}/{row.dataset}/{row.model}"


def folder(kind, row):
    """The same as a parameter: a function, as Snakemake's lint wants it."""
    path = files(kind, row)
    return lambda wildcards: path


def run_file(run):
    """Where a retraining's files lie in such a folder, without the suffix."""
    return f"{run.method}/seed{{seed}}" + (f"-draw{run.draw}" if run.draw is not None else "")


def stem(row, job):
    """Where the log and the benchmark of a row's job lie in their folders: by its step, or `make` for all."""
    if len(job) > 1:
        return f"make/{row.dataset}/{row.model}"
    stage, (thing,) = job[0]
    return f"{stage}/{row.dataset}/{row.model}/{getattr(thing, 'name', thing)}"


def doing(row, job):
    """What a row's job does, for people."""
    stages = ", ".join(dict.fromkeys(stage for stage, _ in job)).capitalize()
    what = f" {Path(stem(row, job)).name}" if len(job) == 1 else ""
    return f"{stages}{what}: {row.model} on {row.dataset}"


def model_file(row, run):
    return f"{files('checkpoints', row)}/{run_file(run)}.safetensors"


def uae_file(row, attack):
    return f"{files('uae', row)}/{attack}/seed{{seed}}.safetensors"


def uae_files(row, runs):
    """The UAE sets that some runs are trained on."""
    names = dict.fromkeys(name for run in runs for name in Method(run.method).attacks)
    return [uae_file(row, name) for name in names]


def made(row, job):
    """The files that a row's job writes."""
    return [
        uae_file(row, thing) if stage == "generate" else model_file(row, thing)
        for stage, things in job
        for thing in things
    ]


def needed(row, job):
    """The files of the row's other jobs that a job reads."""
    read = []
    for stage, things in job:
        if stage == "generate":
            read += [model_file(row, Run(Method(attack).attacked, None)) for attack in things]
        else:
            read += uae_files(row, things)
    return sorted(set(read) - set(made(row, job)))


# The robustness experiments


def robust_checkpoint(run):
    return f"{files('checkpoints/robustness', run)}/{run.method}/seed{{seed}}.safetensors"


def uae_of(runs):
    """The UAE set that some of a data set's runs are trained with."""

    def path(wildcards):
        if not any(run.method == "mine-uae" for run in runs):
            return []
        source = cfg.robustness.uaes[runs[0].dataset]
        return uae_file(source, source.method).format(seed=source.seed(int(wildcards.seed)))

    return path


def robust_jobs(things):
    """Runs or rows by the job that does them, one each, or all of a data set where jobs are short."""
    jobs = {}
    for thing in things:
        jobs.setdefault(thing.dataset if cfg.together else "-".join(thing), []).append(thing)
    return jobs


def robust_methods(row):
    """The records of a model: one a training method, or where attacks are compared one an attack."""
    model = cfg.robust_model(row)
    compared = ["pgd", "minmax"] if model.minmax else model.methods
    return compared + ["sanity"] * bool(model.sanity)


def robust_records(rows):
    """With the images of Figure 6, which are of the first seed alone."""
    return [
        f"{files('records/robustness', row)}/{method}/seed{{seed}}.json"
        for row in rows
        for method in robust_methods(row)
    ] + [
        f"{files('records/figure6', row)}/seed{{seed}}.safetensors"
        for row in rows
        if cfg.robust_model(row).shown
    ]


def every(kind, suffixes=(".json",)):
    """The records of an experiment that the configuration asks for; when frozen, those that are there.
    Then those of another scale that stand where there are none.

    Tables show every record of their folder: a run of one row leaves the others in.
    """
    live = cfg.records == "live"
    there = [] if live else filling.own(Path(RESULTS), kind)
    more = filling.filled(Path(RESULTS), cfg.fill, kind, planned=RECORDS[kind] if live else [])
    return RECORDS[kind] * live + [str(path) for path in [*there, *more] if path.suffix in suffixes]


def shown(figure):
    """The records of a figure of paper/items.yaml."""
    records = every(figure["records"], (".json", ".safetensors"))
    return [path for path in records if figure.get("model") in (None, Path(path).parts[-3])]


# The supervised experiments


def attack_jobs(row):
    """The attacks on a classifier, by the name of the job that makes them."""
    jobs = {}
    for attack in cfg.supervised_sets(row):
        jobs.setdefault("all" if cfg.together else attack.job, []).append(attack)
    return jobs


def measure_jobs(row):
    """The tables and figures of a classifier, by the job that measures them."""
    items = cfg.supervised_items(row)
    return [items] if cfg.together else [[item] for item in items]


def example_set(row, attack):
    draw = f"-draw{attack.draw}" if attack.draw is not None else ""
    return f"{files('uae', row)}/{attack.name}/seed{{seed}}{draw}.safetensors"


def unsupervised_example():
    """The files of the row whose UAEs stand in Table 1 beside the supervised examples."""
    panel = cfg.supervised.table1
    return {
        "data": prepared(panel),
        "checkpoint": model_file(panel, Run("original", None)),
    } | {method: uae_file(panel, method) for method in panel.methods}


def unsupervised_json(wildcards):
    panel = cfg.supervised.table1
    files = {name: path.format(seed=wildcards.seed) for name, path in unsupervised_example().items()}
    uae = {method: files.pop(method) for method in panel.methods}
    return json.dumps({"dataset": panel.dataset, "model": panel.model, "uae": uae, **files}, sort_keys=True)


def measured(row, item):
    """What is measured of a classifier for a table or figure: records and a figure's images or curves."""
    block = cfg.supervised
    if item == "table1":
        others = [
            f"{files('records/table1', block.table1)}/{name}/seed{{seed}}.json" for name in block.table1.names
        ]
        return [f"{files('records/table1', row)}/supervised-example/seed{{seed}}.json", *others]
    if item == "table2":
        runs = [("unattacked", None), *block.runs()]
        names = [run_file(Run(*run)) for run in runs]
        figures = ["figure1", "figure4"]
    elif item == "table3":
        names, figures = [f"{method}/seed{{seed}}" for method in block.compared_methods(row.dataset)], [
            "figure2"
        ]
    else:
        item, names, figures = "bounds", ["minmax/seed{seed}", "pgd/seed{seed}"], ["figure3"]
    return [f"{files(f'records/{item}', row)}/{name}.json" for name in names] + [
        f"{files(f'records/{figure}', row)}/seed{{seed}}.safetensors" for figure in figures
    ]


def shown_in(table, kind):
    """The records of the run that a table shows: experiment/dataset/model/method/seed."""
    experiment = layouts()["tables"][table].get("experiment", "reconstruction")
    return [path for path in every(kind) if wanted(table, experiment, *Path(path).parts[-4:-1])]


def nothing_of(name):
    """An input that says why an item can not be made."""

    def fail(wildcards):
        raise WorkflowError(
            f"{name}: this configuration runs nothing of it"
            if cfg.records == "live"
            else f"{name}: there are no records of it under {RESULTS}/records; run it with records=live"
        )

    return fail


# The records of each experiment: here and not with its rules, as frozen runs have only the rules that render.
RECORDS = {
    "reconstruction": [
        f"{files('records/reconstruction', row)}/{run_file(run)}.json".format(seed=seed)
        for row in cfg.rows
        for seed in cfg.row_seeds(row)
        for run in [Run("original", None), *cfg.runs(row)]
    ],
    "figure5": [
        f"{RESULTS}/records/figure5/{panel.dataset}/{panel.model}/{panel.method}/seed{cfg.row_seeds(panel)[0]}.safetensors"
        for panel in cfg.panels
    ],
    "theorem1": [
        f"{files('records/theorem1', panel)}/{panel.method}/seed{cfg.row_seeds(panel)[0]}.{suffix}"
        for panel in cfg.stationarity
        for suffix in ["safetensors", "json"]
    ],
    # Of no row: when all rows are asked for
    "estimator": [
        f"{RESULTS}/records/estimator/gaussian-pairs/{samples}/{attack}/seed{cfg.seeds[0]}.json"
        for samples in cfg.estimator.models
        for attack in cfg.estimator.attacks
        if cfg.only == "*"
    ],
    "contrastive": [
        f"{files('records/contrastive', row)}/{method}/seed{seed}.json"
        for row in cfg.contrastive_rows
        for seed in cfg.seeds
        for method in ["original", *cfg.contrastive.methods]
    ],
    "robustness": [
        path.format(seed=seed)
        for seed in cfg.robustness.seeds
        for path in robust_records(cfg.robust_rows)
        if path.endswith(".json")
    ],
    "figure6": [
        path.format(seed=cfg.robustness.seeds[0])
        for path in robust_records(cfg.robust_rows)
        if path.endswith(".safetensors")
    ],
}
for name in ["bounds", "table1", "table2", "table3", "figure1", "figure2", "figure3", "figure4"]:
    RECORDS[name] = [
        path.format(seed=seed)
        for row in cfg.classifiers
        for item in cfg.supervised_items(row)
        for seed in (cfg.seeds if name.startswith("table") else cfg.seeds[:1])
        for path in measured(row, item)
        if path.startswith(f"{RESULTS}/records/{name}/")
    ]
