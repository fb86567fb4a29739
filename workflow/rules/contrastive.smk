# SimCLR: `uae make` trains and attacks it as any other model.
for row in cfg.contrastive_rows:

    PREPARED = f"data/prepared/{cfg.limited(cfg.contrastive.data, cfg.contrastive.train_limit)}.safetensors"

    for method in ["original", *cfg.contrastive.methods]:

        rule:
            name:
                f"pretrain_{row.dataset}_{row.model}_{method}"
            input:
                data=PREPARED,
                uae=[uae_file(row, name) for name in Method(method).attacks],
                code=sources("uae.stages.train"),
            output:
                update(
                    ensure(f"{files('checkpoints', row)}/{method}/seed{{seed}}.safetensors", non_empty=True)
                ),
            log:
                f"logs/{cfg.name}/train/{row.dataset}/{row.model}/{method}-seed{{seed}}.log",
            benchmark:
                f"benchmarks/jobs/{cfg.name}/train/{row.dataset}/{row.model}/{method}-seed{{seed}}.tsv"
            conda:
                "../../environment.yml"
            threads: THREADS
            resources:
                gpu=GPU,
                device=DEVICE,
            params:
                made=settings_of,
                steps=as_json([{"runs": [{"method": method, "settings": cfg.contrastive.training(method)}]}]),
                folder=folder("checkpoints", row),
                uae=folder("uae", row),
            message:
                f"Train {row.model} on {row.dataset}, {method}, seed {{wildcards.seed}}"
            shell:
                "uae make --data {input.data} --checkpoints {params.folder} --uae {params.uae}"
                " --steps {params.steps:q} --seed {wildcards.seed} --made {params.made:q} --device {resources.device} > {log} 2>&1"

    rule:
        name:
            f"generate_{row.dataset}_{row.model}"
        input:
            data=PREPARED,
            checkpoint=f"{files('checkpoints', row)}/original/seed{{seed}}.safetensors",
            code=sources("uae.stages.generate"),
        output:
            update(ensure(f"{files('uae', row)}/mine-uae/seed{{seed}}.safetensors", non_empty=True)),
        log:
            f"logs/{cfg.name}/generate/{row.dataset}/{row.model}/mine-uae-seed{{seed}}.log",
        benchmark:
            f"benchmarks/jobs/{cfg.name}/generate/{row.dataset}/{row.model}/mine-uae-seed{{seed}}.tsv"
        conda:
            "../../environment.yml"
        threads: THREADS
        resources:
            gpu=GPU,
            device=DEVICE,
        params:
            made=settings_of,
            steps=as_json(
                [
                    {
                        "attacked": "original",
                        "attacks": {
                            "mine-uae": cfg.contrastive.attacking(cfg.attacking(row.model, "mine-uae"))
                        },
                    }
                ]
            ),
            checkpoints=folder("checkpoints", row),
            uae=folder("uae", row),
        message:
            f"Generate mine-uae for {row.model} on {row.dataset}, seed {{wildcards.seed}}"
        shell:
            "uae make --data {input.data} --checkpoints {params.checkpoints} --uae {params.uae}"
            " --steps {params.steps:q} --seed {wildcards.seed} --made {params.made:q} --device {resources.device} > {log} 2>&1"

    rule:
        name:
            f"evaluate_{row.dataset}_{row.model}"
        input:
            data=PREPARED,
            checkpoints=[
                f"{files('checkpoints', row)}/{method}/seed{{seed}}.safetensors"
                for method in ["original", *cfg.contrastive.methods]
            ],
            uae=[
                f"{files('uae', row)}/{name}/seed{{seed}}.safetensors"
                for method in cfg.contrastive.methods
                for name in Method(method).attacks
            ],
            code=sources("uae.stages.evaluate_simclr"),
        output:
            [
                update(f"{files('records/contrastive', row)}/{method}/seed{{seed}}.json")
                for method in ["original", *cfg.contrastive.methods]
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
            settings=as_json(cfg.contrastive.measuring()),
            dataset=row.dataset,
            uae=folder("uae", row),
            folder=folder("records/contrastive", row),
        message:
            f"Evaluate {row.model} on {row.dataset}, seed {{wildcards.seed}}"
        shell:
            "uae evaluate-simclr {input.checkpoints} --data {input.data} --uae {params.uae} --dataset {params.dataset}"
            " --records {params.folder} --settings {params.settings:q} --made {params.made:q} --device {resources.device} > {log} 2>&1"
