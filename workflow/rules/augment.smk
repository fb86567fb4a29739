rule generate:
    input:
        data=prepared,
        checkpoint=f"{RESULTS}/checkpoints/{{dataset}}/{{model}}/original/seed{{seed}}.safetensors",
        code=sources("attack"),
    output:
        update(
            ensure(
                f"{RESULTS}/uae/{{dataset}}/{{model}}/{{attack}}/seed{{seed}}.safetensors",
                non_empty=True,
            )
        ),
    log:
        f"logs/{cfg.name}/generate/{{dataset}}/{{model}}/{{attack}}-seed{{seed}}.log",
    benchmark:
        f"benchmarks/jobs/{cfg.name}/generate/{{dataset}}/{{model}}/{{attack}}-seed{{seed}}.tsv"
    conda:
        "../../environment.yml"
    threads: THREADS
    resources:
        gpu=GPU,
        device=DEVICE,
    params:
        settings=settings(lambda w: cfg.attacking(w.model, w.attack)),
    message:
        "Generate {wildcards.attack} for {wildcards.model} on {wildcards.dataset}, seed {wildcards.seed}"
    shell:
        "uae generate --data {input.data} --checkpoint {input.checkpoint} --out {output}"
        " --seed {wildcards.seed} --settings {params.settings:q} --device {resources.device} > {log} 2>&1"
