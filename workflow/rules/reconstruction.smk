# A row is a model on a data set. Its jobs train it, attack it and retrain it from scratch on the originals and as many
# augmented samples: one job a step, or where steps are short one for all of them.
# A job that fails must not cost what an earlier one made: `update` puts the old file back.
for row in cfg.made_rows:
    for job in cfg.jobs(row):

        rule:
            name:
                "_".join(Path(stem(row, job)).parts)
            input:
                needed(row, job),
                data=prepared(row),
                code=sources(*{STAGES[step.stage] for step in job}),
            output:
                [update(ensure(path, non_empty=True)) for path in made(row, job)],
            log:
                f"logs/{cfg.name}/{stem(row, job)}-seed{{seed}}.log",
            benchmark:
                f"benchmarks/jobs/{cfg.name}/{stem(row, job)}-seed{{seed}}.tsv"
            # Convolutions take longest: begun first, they are not what the other cores wait for in the end
            priority: int(row.model == "convolutional")
            conda:
                "../../environment.yml"
            threads: THREADS
            resources:
                gpu=GPU,
                device=DEVICE,
            params:
                steps=as_json(cfg.steps(row, job)),
                made=settings_of,
                checkpoints=folder("checkpoints", row),
                uae=folder("uae", row),
            message:
                f"{doing(row, job)}, seed {{wildcards.seed}}"
            shell:
                "uae make --data {input.data} --checkpoints {params.checkpoints} --uae {params.uae}"
                " --steps {params.steps:q} --seed {wildcards.seed} --made {params.made:q} --device {resources.device} > {log} 2>&1"
