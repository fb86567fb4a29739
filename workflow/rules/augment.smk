for row in cfg.made_rows:
    for attacks in cfg.jobs(cfg.row_attacks(row)):

        rule:
            name:
                f"generate_{row.dataset}_{row.model}_{job_name(attacks)}"
            input:
                data=prepared(row),
                checkpoint=attacked(row, attacks[0]),
                code=sources("attack"),
            output:
                [
                    update(ensure(f"{files('uae', row)}/{attack}/seed{{seed}}.safetensors", non_empty=True))
                    for attack in attacks
                ],
            log:
                f"logs/{cfg.name}/generate/{row.dataset}/{row.model}/{job_name(attacks)}-seed{{seed}}.log",
            benchmark:
                f"benchmarks/jobs/{cfg.name}/generate/{row.dataset}/{row.model}/{job_name(attacks)}-seed{{seed}}.tsv"
            conda:
                "../../environment.yml"
            threads: THREADS
            resources:
                gpu=GPU,
                device=DEVICE,
            params:
                attacks=as_json({attack: cfg.attacking(row.model, attack) for attack in attacks}),
                folder=folder("uae", row),
            message:
                f"Generate {job_name(attacks)} for {row.model} on {row.dataset}, seed {{wildcards.seed}}"
            shell:
                "uae generate --data {input.data} --checkpoint {input.checkpoint} --out {params.folder}"
                " --seed {wildcards.seed} --attacks {params.attacks:q} --device {resources.device} > {log} 2>&1"
