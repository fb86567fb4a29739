# A job that fails must not cost what an earlier one made: `update` puts the old file back.
rule train:
    input:
        data=prepared,
        code=sources("train"),
    output:
        update(
            ensure(
                f"{RESULTS}/checkpoints/{{dataset}}/{{model}}/original/seed{{seed}}.safetensors",
                non_empty=True,
            )
        ),
    log:
        f"logs/{cfg.name}/train/{{dataset}}/{{model}}/original-seed{{seed}}.log",
    benchmark:
        f"benchmarks/jobs/{cfg.name}/train/{{dataset}}/{{model}}/original-seed{{seed}}.tsv"
    conda:
        "../../environment.yml"
    threads: THREADS
    resources:
        gpu=GPU,
        device=DEVICE,
    params:
        settings=settings(lambda w: cfg.training(w.dataset, w.model, "original")),
    message:
        "Train {wildcards.model} on {wildcards.dataset}, seed {wildcards.seed}"
    shell:
        "uae train --data {input.data} --out {output} --method original"
        " --seed {wildcards.seed} --settings {params.settings:q} --device {resources.device} > {log} 2>&1"


# From scratch on the originals and as many augmented samples.
rule retrain:
    input:
        data=prepared,
        uae=lambda w: uae_sets(w).get(w.method, []),
        code=sources("retrain"),
    output:
        update(
            ensure(
                f"{RESULTS}/checkpoints/{{dataset}}/{{model}}/{{method}}/seed{{seed}}{{draw}}.safetensors",
                non_empty=True,
            )
        ),
    log:
        f"logs/{cfg.name}/train/{{dataset}}/{{model}}/{{method}}-seed{{seed}}{{draw}}.log",
    benchmark:
        f"benchmarks/jobs/{cfg.name}/train/{{dataset}}/{{model}}/{{method}}-seed{{seed}}{{draw}}.tsv"
    conda:
        "../../environment.yml"
    threads: THREADS
    resources:
        gpu=GPU,
        device=DEVICE,
    params:
        settings=settings(lambda w: cfg.training(w.dataset, w.model, w.method)),
        uae=lambda w, input: f"--uae {input.uae}" if input.uae else "",
        noise=noise_options,
    message:
        "Retrain {wildcards.model} on {wildcards.dataset} with {wildcards.method}, seed {wildcards.seed}{wildcards.draw}"
    shell:
        "uae train --data {input.data} --out {output} --method {wildcards.method}"
        " --seed {wildcards.seed} {params.uae} {params.noise} --settings {params.settings:q}"
        " --device {resources.device} > {log} 2>&1"


ruleorder: train > retrain
