from uae.data import catalogue


# Raw files are checked against the catalogue; retries are for the network alone.
rule download:
    input:
        code=sources("data"),
    output:
        "data/raw/{folder}/{file}",
    log:
        "logs/download/{folder}/{file}.log",
    benchmark:
        "benchmarks/jobs/download/{folder}/{file}.tsv"
    retries: 2
    conda:
        "../../environment.yml"
    params:
        mirror=f"--mirror {shlex.quote(cfg.mirror)}" if cfg.mirror else "",
    shell:
        "uae fetch {wildcards.folder} {wildcards.file} --out {output} {params.mirror} > {log} 2>&1"


rule prepare:
    input:
        raw=lambda w: [
            f"data/raw/{catalogue.folder(w.data)}/{name}" for name in catalogue.lookup(w.data)[0].files
        ],
        code=sources("data"),
    output:
        ensure("data/prepared/{data}.safetensors", non_empty=True),
    log:
        "logs/prepare/{data}.log",
    benchmark:
        "benchmarks/jobs/prepare/{data}.tsv"
    conda:
        "../../environment.yml"
    shell:
        "uae prepare {wildcards.data} --out {output} > {log} 2>&1"


# `snakemake raw_mnist`: the raw files of one data set.
for name, entry in catalogue.entries().items():

    rule:
        name:
            f"raw_{name}"
        input:
            [f"data/raw/{name}/{file}" for file in entry.files],
