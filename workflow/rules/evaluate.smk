# One job for all the methods of a row and seed: loading torch takes longer than measuring.
for row in cfg.rows:

    rule:
        name:
            f"evaluate_{row.dataset}_{row.model}"
        input:
            data=prepared(row),
            checkpoints=[model_file(row, run) for run in [Run("original", None), *cfg.runs(row)]],
            uae=uae_files(row, cfg.runs(row)),
            code=sources("uae.stages.evaluate"),
        output:
            [
                update(f"{files('records/reconstruction', row)}/{run_file(run)}.json")
                for run in [Run("original", None), *cfg.runs(row)]
            ],
        log:
            f"logs/{cfg.name}/evaluate/{row.dataset}/{row.model}/seed{{seed}}.log",
        benchmark:
            f"benchmarks/jobs/{cfg.name}/evaluate/{row.dataset}/{row.model}/seed{{seed}}.tsv"
        conda:
            "../../environment.yml"
        threads: THREADS
        resources:
            gpu=GPU,
            device=DEVICE,
        params:
            made=settings_of,
            uae=folder("uae", row),
            folder=folder("records/reconstruction", row),
            dataset=row.dataset,  # not in the command itself: it is put together when the job runs
            model=row.model,
        message:
            f"Evaluate {row.model} on {row.dataset}, seed {{wildcards.seed}}"
        shell:
            "uae evaluate {input.checkpoints} --data {input.data} --uae {params.uae}"
            " --dataset {params.dataset} --model {params.model}"
            " --records {params.folder} --made {params.made:q} --device {resources.device} > {log} 2>&1"


for panel in cfg.panels:

    rule:
        name:
            f"examples_{panel.dataset}_{panel.model}_{panel.method}"
        input:
            data=prepared(panel),
            checkpoint=model_file(panel, Run("original", None)),
            uae=uae_file(panel, panel.method),
            code=sources("uae.stages.evaluate"),
        output:
            f"{files('records/figure5', panel)}/{panel.method}/seed{{seed}}.safetensors",
        log:
            f"logs/{cfg.name}/examples/{panel.dataset}/{panel.model}/{panel.method}-seed{{seed}}.log",
        benchmark:
            f"benchmarks/jobs/{cfg.name}/examples/{panel.dataset}/{panel.model}/{panel.method}-seed{{seed}}.tsv"
        conda:
            "../../environment.yml"
        params:
            made=settings_of,
            method=panel.method,
        message:
            f"Pick examples of {panel.method} for {panel.model} on {panel.dataset}"
        shell:
            "uae examples --data {input.data} --checkpoint {input.checkpoint}"
            " --uae {input.uae} --method {params.method} --made {params.made:q} --out {output} > {log} 2>&1"


for panel in cfg.stationarity:

    rule:
        name:
            "stationarity"
        input:
            data=prepared(panel),
            checkpoint=model_file(panel, Run("original", None)),
            code=sources("uae.stages.stationarity"),
        output:
            along=f"{files('records/theorem1', panel)}/{panel.method}/seed{{seed}}.safetensors",
            record=f"{files('records/theorem1', panel)}/{panel.method}/seed{{seed}}.json",
        log:
            f"logs/{cfg.name}/stationarity-seed{{seed}}.log",
        benchmark:
            f"benchmarks/jobs/{cfg.name}/stationarity/seed{{seed}}.tsv"
        conda:
            "../../environment.yml"
        threads: THREADS
        resources:
            gpu=GPU,
            device=DEVICE,
        params:
            made=settings_of,
            settings=as_json(cfg.attacking(panel.model, panel.method)),
            samples=panel.samples,
            steps=panel.steps,
            theorem=" ".join([f"--horizon {t}" for t in panel.horizons] + [f"--warm-up {panel.warm_up}"]),
            dataset=panel.dataset,
            model=panel.model,
            method=panel.method,
        message:
            "Trace the stationarity of a long attack"
        shell:
            "uae stationarity --data {input.data} --checkpoint {input.checkpoint} --out {output.along}"
            " --dataset {params.dataset} --model {params.model} --method {params.method}"
            " --seed {wildcards.seed} --settings {params.settings:q} --samples {params.samples} --steps {params.steps}"
            " {params.theorem}"
            " --made {params.made:q} --device {resources.device} > {log} 2>&1"


# On the CPU: all of it is small, and a GPU's estimates would differ in the last digits alone.
rule try_estimator:
    input:
        code=sources("uae.stages.estimator"),
    output:
        [
            update(f"{RESULTS}/records/estimator/gaussian-pairs/{samples}/{attack}/seed{cfg.seeds[0]}.json")
            for samples in cfg.estimator.models
            for attack in cfg.estimator.attacks
        ],
    log:
        f"logs/{cfg.name}/estimator.log",
    benchmark:
        f"benchmarks/jobs/{cfg.name}/estimator.tsv"
    conda:
        "../../environment.yml"
    threads: THREADS
    params:
        settings=as_json(cfg.trial),
        seed=cfg.seeds[0],
        folder=f"{RESULTS}/records/estimator/gaussian-pairs",
    message:
        "Try the estimator on pairs whose mutual information is known"
    shell:
        "uae estimator --settings {params.settings:q} --records {params.folder} --seed {params.seed} > {log} 2>&1"
