# Replaces train, attack and evaluate by one job for all files of some models, because a process that trains with PyTorch
# needs 4 s of a core to start, longer than a training. Snakemake's `group` does not help: each of its jobs starts Python.
from uae.stages import evaluate

# A figure and a table within two minutes
FIRST = {file for item in ("estimator", "appendixh") for file in shown_in(item)}

for name, group in plan.together(PLAN).items():
    if len(json.dumps([job._asdict() for job in group])) > 120_000:  # Linux allows an argument 128 KiB
        raise WorkflowError(
            f"{name}: {len(group)} jobs are too many for one process; use --config together=false"
        )

    rule:
        name:
            f"make_{name}"
        input:
            sorted({file for job in group for file in job.files} - {job.output for job in group}),
            code=sources(
                "uae.stages.train",
                "uae.stages.attack",
                *sorted({evaluate.module(job.experiment) for job in group if job.stage == "evaluate"}),
            ),
        output:
            [update(ensure(job.output, non_empty=True)) for job in group],
        log:
            f"logs/{cfg.name}/make/{name}.log",
        benchmark:
            f"benchmarks/jobs/{cfg.name}/make/{name}.tsv"
        # Then the longest, so that no core waits for one at the end
        priority: len(group) + 1000 * any(job.output in FIRST for job in group)
        conda:
            "../../environment.yml"
        threads: THREADS
        resources:
            gpu=GPU,
            device=DEVICE,
        params:
            jobs=jobs_of(*[job.output for job in group]),
            made=made_with(*[job.output for job in group]),
        message:
            f"Train, attack and evaluate {name}"
        shell:
            RUN
