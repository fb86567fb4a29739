# A row is a classifier on a data set. Its attacks are made one a job, measured one table or figure a job.
for row in cfg.classifiers:

    rule:
        name:
            f"train_{row.dataset}_classifier"
        input:
            data=f"data/prepared/{cfg.classifier_data(row)}.safetensors",
            code=sources("uae.stages.train_classifier"),
        output:
            update(ensure(f"{files('checkpoints', row)}/original/seed{{seed}}.safetensors", non_empty=True)),
        log:
            f"logs/{cfg.name}/train/{row.dataset}/classifier/original-seed{{seed}}.log",
        benchmark:
            f"benchmarks/jobs/{cfg.name}/train/{row.dataset}/classifier/original-seed{{seed}}.tsv"
        conda:
            "../../environment.yml"
        threads: THREADS
        resources:
            gpu=GPU,
            device=DEVICE,
        params:
            settings=as_json(cfg.supervised.classifier(row.dataset)),
        message:
            f"Train the classifier of {row.dataset}, seed {{wildcards.seed}}"
        shell:
            "uae train-classifier --data {input.data} --out {output} --seed {wildcards.seed}"
            " --settings {params.settings:q} --device {resources.device} > {log} 2>&1"

    for job, attacks in attack_jobs(row).items():

        rule:
            name:
                f"attack_{row.dataset}_classifier_{job}"
            input:
                data=f"data/prepared/{cfg.classifier_data(row)}.safetensors",
                checkpoint=f"{files('checkpoints', row)}/original/seed{{seed}}.safetensors",
                code=sources("uae.stages.attack_classifier"),
            output:
                [update(ensure(example_set(row, attack), non_empty=True)) for attack in attacks],
            log:
                f"logs/{cfg.name}/attack/{row.dataset}/classifier/{job}-seed{{seed}}.log",
            benchmark:
                f"benchmarks/jobs/{cfg.name}/attack/{row.dataset}/classifier/{job}-seed{{seed}}.tsv"
            conda:
                "../../environment.yml"
            threads: THREADS
            resources:
                gpu=GPU,
                device=DEVICE,
            params:
                made=settings_of,
                sets=as_json(
                    [
                        {"name": attack.name, "draw": attack.draw, "settings": attack.settings}
                        for attack in attacks
                    ]
                ),
                folder=folder("uae", row),
            message:
                f"Attack the classifier of {row.dataset}: {job}, seed {{wildcards.seed}}"
            shell:
                "uae attack-classifier --data {input.data} --checkpoint {input.checkpoint} --out {params.folder}"
                " --sets {params.sets:q} --seed {wildcards.seed} --made {params.made:q} --device {resources.device} > {log} 2>&1"

    for items in measure_jobs(row):

        rule:
            name:
                f"measure_{row.dataset}_classifier_{'_'.join(items)}"
            input:
                data=f"data/prepared/{cfg.classifier_data(row)}.safetensors",
                checkpoint=f"{files('checkpoints', row)}/original/seed{{seed}}.safetensors",
                sets=[
                    example_set(row, attack)
                    for attack in cfg.supervised_sets(row)
                    if attack.item in items or ("table1" in items and attack.item == "figure3")
                ],
                other=list(unsupervised_example().values()) if "table1" in items else [],
                inception=(cfg.supervised.inception_file or []) if "table2" in items else [],
                code=sources("uae.stages.measure_classifier"),
            output:
                [update(path) for item in items for path in measured(row, item)],
            log:
                f"logs/{cfg.name}/measure/{row.dataset}/classifier/{'-'.join(items)}-seed{{seed}}.log",
            benchmark:
                f"benchmarks/jobs/{cfg.name}/measure/{row.dataset}/classifier/{'-'.join(items)}-seed{{seed}}.tsv"
            conda:
                "../../environment.yml"
            threads: THREADS
            resources:
                gpu=GPU,
                device=DEVICE,
            params:
                made=settings_of,
                settings=as_json({item: cfg.supervised.measuring(item, row.dataset) for item in items}),
                sets=folder("uae", row),
                records=lambda wildcards: f"{RESULTS}/records",
                dataset=row.dataset,
                other=unsupervised_json if "table1" in items else "{}",
            message:
                f"Measure the attacks on the classifier of {row.dataset}, seed {{wildcards.seed}}"
            shell:
                "uae measure-classifier --data {input.data} --checkpoint {input.checkpoint} --sets {params.sets}"
                " --records {params.records} --dataset {params.dataset} --items {params.settings:q}"
                " --other {params.other:q} --made {params.made:q} --device {resources.device} > {log} 2>&1"
