CHECKPOINT = "results/{scale}/checkpoints/{dataset}/{model}/{method}/{run}.safetensors"


rule train:
    """Train a model: an original, a retraining on an augmented set, a classifier, a robust model, SimCLR."""
    input:
        inputs_of(CHECKPOINT),
        code=sources("uae.stages.train"),
    output:
        update(ensure(CHECKPOINT, non_empty=True)),
    log:
        "logs/{scale}/train/{dataset}/{model}/{method}/{run}.log",
    benchmark:
        "benchmarks/jobs/{scale}/train/{dataset}/{model}/{method}/{run}.tsv"
    # Convolutions take longest. They start first, so that the other cores do not wait for them at the end
    priority: lambda wildcards: int(wildcards.model == "convolutional")
    conda:
        "../../environment.yml"
    threads: THREADS
    resources:
        gpu=GPU,
        device=DEVICE,
    params:
        jobs=jobs_of(CHECKPOINT),
        made=made_with(CHECKPOINT),
    message:
        "Train {wildcards.dataset}/{wildcards.model}, {wildcards.method}, {wildcards.run}"
    shell:
        RUN
