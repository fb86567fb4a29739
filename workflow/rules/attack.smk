EXAMPLES = "results/{scale}/uae/{dataset}/{model}/{method}/{run}.safetensors"


rule attack:
    """Attack a model: make a set of unsupervised adversarial examples, or of a classifier's."""
    input:
        inputs_of(EXAMPLES),
        code=sources("uae.stages.attack"),
    output:
        update(ensure(EXAMPLES, non_empty=True)),
    log:
        "logs/{scale}/attack/{dataset}/{model}/{method}/{run}.log",
    benchmark:
        "benchmarks/jobs/{scale}/attack/{dataset}/{model}/{method}/{run}.tsv"
    conda:
        "../../environment.yml"
    threads: THREADS
    resources:
        gpu=GPU,
        device=DEVICE,
    params:
        jobs=jobs_of(EXAMPLES),
        made=made_with(EXAMPLES),
    message:
        "Attack {wildcards.dataset}/{wildcards.model}, {wildcards.method}, {wildcards.run}"
    shell:
        RUN
