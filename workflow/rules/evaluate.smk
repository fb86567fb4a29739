from uae.stages import evaluate

RECORD = "results/{scale}/records/{experiment}/{dataset}/{model}/{method}/{run}.json"
SHOWN = "results/{scale}/records/{experiment}/{row}/{run}.safetensors"


rule evaluate:
    """Measure a model or a set of examples: the record that tables, figures and claims read."""
    input:
        inputs_of(RECORD),
        code=lambda wildcards: sources(evaluate.module(wildcards.experiment)),
    output:
        update(RECORD),
    log:
        "logs/{scale}/evaluate/{experiment}/{dataset}/{model}/{method}/{run}.log",
    benchmark:
        "benchmarks/jobs/{scale}/evaluate/{experiment}/{dataset}/{model}/{method}/{run}.tsv"
    conda:
        "../../environment.yml"
    threads: THREADS
    resources:
        gpu=GPU,
        device=DEVICE,
    params:
        jobs=jobs_of(RECORD),
        made=made_with(RECORD),
    message:
        "Evaluate {wildcards.dataset}/{wildcards.model}, {wildcards.method}, {wildcards.run}: {wildcards.experiment}"
    shell:
        RUN


rule figure_data:
    """Compute the data of a figure that records lack: images, or curves along an attack."""
    input:
        inputs_of(SHOWN),
        code=lambda wildcards: sources(evaluate.module(wildcards.experiment)),
    output:
        update(ensure(SHOWN, non_empty=True)),
    log:
        "logs/{scale}/figure_data/{experiment}/{row}/{run}.log",
    benchmark:
        "benchmarks/jobs/{scale}/figure_data/{experiment}/{row}/{run}.tsv"
    wildcard_constraints:
        row="[^/]+/[^/]+(/[^/]+)?",  # dataset/model; for some figures also the method
    conda:
        "../../environment.yml"
    threads: THREADS
    resources:
        gpu=GPU,
        device=DEVICE,
    params:
        jobs=jobs_of(SHOWN),
        made=made_with(SHOWN),
    message:
        "Compute the images or curves of {wildcards.experiment}: {wildcards.row}, {wildcards.run}"
    shell:
        RUN
