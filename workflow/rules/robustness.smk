# A row is a model on a data set, a run one of its trainings.
for job, runs in robust_jobs([run for row in cfg.robust_made for run in cfg.robust_runs(row)]).items():

    rule:
        name:
            f"train_robust_{job}"
        input:
            data=[f"data/prepared/{cfg.robust_data(run)}.safetensors" for run in runs],
            uae=uae_of(runs),
            published=[file for run in runs if (file := cfg.robust_model(run).checkpoint)],
            code=sources("uae.stages.train_robust"),
        output:
            [update(ensure(robust_checkpoint(run), non_empty=True)) for run in runs],
        log:
            f"logs/{cfg.name}/train/robustness/{job}-seed{{seed}}.log",
        benchmark:
            f"benchmarks/jobs/{cfg.name}/train/robustness/{job}-seed{{seed}}.tsv"
        conda:
            "../../environment.yml"
        threads: THREADS
        resources:
            gpu=GPU,
            device=DEVICE,
        params:
            made=settings_of,
            runs=as_json(
                [
                    {
                        **run._asdict(),
                        "data": f"data/prepared/{cfg.robust_data(run)}.safetensors",
                        "settings": cfg.robustness.training(run),
                    }
                    for run in runs
                ]
            ),
            folder=lambda wildcards: f"{RESULTS}/checkpoints/robustness",
            uae=lambda wildcards, input: f"--uae {input.uae}" if input.uae else "",
        message:
            f"Train {job}, seed {{wildcards.seed}}"
        shell:
            "uae train-robust --checkpoints {params.folder} --seed {wildcards.seed} --runs {params.runs:q}"
            " {params.uae} --made {params.made:q} --device {resources.device} > {log} 2>&1"


for job, rows in robust_jobs(cfg.robust_rows).items():

    rule:
        name:
            f"attack_robust_{job}"
        input:
            data=[f"data/prepared/{cfg.robust_data(row)}.safetensors" for row in rows],
            checkpoints=[
                robust_checkpoint(run)
                for row in cfg.robust_made
                if row in rows or row in cfg.surrogates(rows)
                for run in cfg.robust_runs(row)
            ],
            code=sources("uae.stages.attack_robust"),
        output:
            [update(ensure(path, non_empty=True)) for path in robust_records(rows)],
        log:
            f"logs/{cfg.name}/attack/robustness/{job}-seed{{seed}}.log",
        benchmark:
            f"benchmarks/jobs/{cfg.name}/attack/robustness/{job}-seed{{seed}}.tsv"
        conda:
            "../../environment.yml"
        threads: THREADS
        resources:
            gpu=GPU,
            device=DEVICE,
        params:
            made=settings_of,
            rows=as_json(
                [
                    {
                        **row._asdict(),
                        "methods": cfg.robust_model(row).methods,
                        "data": f"data/prepared/{cfg.robust_data(row)}.safetensors",
                        "settings": cfg.robustness.attacking(*row),
                    }
                    for row in rows
                ]
            ),
            folder=lambda wildcards: f"{RESULTS}/checkpoints/robustness",
            records=lambda wildcards: f"{RESULTS}/records",
        message:
            f"Attack {job}, seed {{wildcards.seed}}"
        shell:
            "uae attack-robust --checkpoints {params.folder} --records {params.records} --seed {wildcards.seed}"
            " --rows {params.rows:q} --made {params.made:q} --device {resources.device} > {log} 2>&1"
