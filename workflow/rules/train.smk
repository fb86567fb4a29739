# A row is a model on a data set. A job that fails must not cost what an earlier one made: `update` puts the
# old file back.
for row in cfg.made_rows:

    rule:
        name:
            f"train_{row.dataset}_{row.model}"
        input:
            data=prepared(row),
            code=sources("train"),
        output:
            update(ensure(f"{files('checkpoints', row)}/original/seed{{seed}}.safetensors", non_empty=True)),
        log:
            f"logs/{cfg.name}/train/{row.dataset}/{row.model}/original-seed{{seed}}.log",
        benchmark:
            f"benchmarks/jobs/{cfg.name}/train/{row.dataset}/{row.model}/original-seed{{seed}}.tsv"
        conda:
            "../../environment.yml"
        threads: THREADS
        resources:
            gpu=GPU,
            device=DEVICE,
        params:
            runs=as_json([{"method": "original", "settings": cfg.training(row, "original")}]),
            folder=folder("checkpoints", row),
        message:
            f"Train {row.model} on {row.dataset}, seed {{wildcards.seed}}"
        shell:
            "uae train --data {input.data} --checkpoints {params.folder} --seed {wildcards.seed}"
            " --runs {params.runs:q} --device {resources.device} > {log} 2>&1"

    # From scratch on the originals and as many augmented samples.
    for number, runs in enumerate(cfg.jobs(cfg.runs(row))):

        rule:
            name:
                f"retrain_{row.dataset}_{row.model}_{job_name(runs)}"
            input:
                data=prepared(row),
                uae=[f"{files('uae', row)}/{name}/seed{{seed}}.safetensors" for name in uae_sets(runs)],
                code=sources("retrain"),
            output:
                [
                    update(
                        ensure(f"{files('checkpoints', row)}/{run_file(run)}.safetensors", non_empty=True)
                    )
                    for run in runs
                ],
            log:
                f"logs/{cfg.name}/train/{row.dataset}/{row.model}/{job_name(runs)}-seed{{seed}}.log",
            benchmark:
                f"benchmarks/jobs/{cfg.name}/train/{row.dataset}/{row.model}/{job_name(runs)}-seed{{seed}}.tsv"
            conda:
                "../../environment.yml"
            threads: THREADS
            resources:
                gpu=GPU,
                device=DEVICE,
            params:
                runs=as_json(
                    [
                        {"method": method, "draw": draw, "settings": cfg.training(row, method)}
                        for method, draw in runs
                    ]
                ),
                folder=folder("checkpoints", row),
                uae=folder("uae", row),
            message:
                f"Retrain {row.model} on {row.dataset} with {job_name(runs)}, seed {{wildcards.seed}}"
            shell:
                "uae train --data {input.data} --checkpoints {params.folder} --uae {params.uae} --seed {wildcards.seed}"
                " --runs {params.runs:q} --device {resources.device} > {log} 2>&1"
