# One job for all the methods of a data set, model and seed: loading torch takes longer than measuring.
rule evaluate:
    input:
        data=prepared,
        checkpoints=checkpoints,
        uae=lambda w: list(uae_sets(w).values()),
        code=sources("evaluate"),
    output:
        [
            update(f"{RESULTS}/records/reconstruction/{{dataset}}/{{model}}/{method}/seed{{seed}}{run}.json")
            for method in ["original", *cfg.methods]
            for run in cfg.runs(method)
        ],
    log:
        f"logs/{cfg.name}/evaluate/{{dataset}}/{{model}}/seed{{seed}}.log",
    benchmark:
        f"benchmarks/jobs/{cfg.name}/evaluate/{{dataset}}/{{model}}/seed{{seed}}.tsv"
    conda:
        "../../environment.yml"
    threads: THREADS
    resources:
        gpu=GPU,
        device=DEVICE,
    params:
        uae=lambda w: " ".join(f"--uae {m}={path}" for m, path in uae_sets(w).items()),
        folder=lambda w, output: Path(output[0]).parents[1],
    message:
        "Evaluate {wildcards.model} on {wildcards.dataset}, seed {wildcards.seed}"
    shell:
        "uae evaluate {input.checkpoints} --data {input.data} --dataset {wildcards.dataset} --model {wildcards.model}"
        " --records {params.folder} {params.uae} --device {resources.device} > {log} 2>&1"


rule examples:
    input:
        data=prepared,
        checkpoint=f"{RESULTS}/checkpoints/{{dataset}}/{{model}}/original/seed{{seed}}.safetensors",
        uae=f"{RESULTS}/uae/{{dataset}}/{{model}}/{{attack}}/seed{{seed}}.safetensors",
        code=sources("evaluate"),
    output:
        f"{RESULTS}/records/figure5/{{dataset}}/{{model}}/{{attack}}/seed{{seed}}.safetensors",
    log:
        f"logs/{cfg.name}/examples/{{dataset}}/{{model}}/{{attack}}-seed{{seed}}.log",
    benchmark:
        f"benchmarks/jobs/{cfg.name}/examples/{{dataset}}/{{model}}/{{attack}}-seed{{seed}}.tsv"
    conda:
        "../../environment.yml"
    message:
        "Pick examples of {wildcards.attack} for {wildcards.model} on {wildcards.dataset}"
    shell:
        "uae examples --data {input.data} --checkpoint {input.checkpoint}"
        " --uae {input.uae} --method {wildcards.attack} --out {output} > {log} 2>&1"
