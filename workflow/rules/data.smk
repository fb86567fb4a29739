# The address may have a password, so it is not in a command, parameter or resource: logs and Snakemake's metadata
# repeat those. And the same file from another place must rerun nothing.
os.environ.update({"UAE_DATA_MIRROR": cfg.data_mirror} if cfg.data_mirror else {})


# Only another checksum fetches a file again. An edit of the code must not delete a file that may be gone upstream.
rule download:
    """Download a raw file of a data set or a published model, from the mirror or from its publisher, and check it."""
    output:
        update("data/raw/{folder}/{file}"),  # the file of a user stays if a forced download fails
    log:
        "logs/download/{folder}/{file}.log",
    benchmark:
        "benchmarks/jobs/download/{folder}/{file}.tsv"
    retries: 2
    localrule: True  # the nodes of a cluster may have no network
    conda:
        "../../environment.yml"
    params:
        checksum=lambda w: catalogue.raw(w.folder)[0].files.get(w.file),
    message:
        "Download {wildcards.folder}/{wildcards.file}"
    shell:
        "uae fetch {wildcards.folder} {wildcards.file} --out {output} 2>&1 | tee {log}"


rule prepare:
    """Turn the raw files of a data set into one checked file."""
    input:
        raw=lambda w: [
            f"data/raw/{catalogue.folder(w.data)}/{name}" for name in catalogue.lookup(w.data)[0].files
        ],
        code=sources("uae.data.prepared"),
    output:
        update(ensure("data/prepared/{data}.safetensors", non_empty=True)),
    log:
        "logs/prepare/{data}.log",
    benchmark:
        "benchmarks/jobs/prepare/{data}.tsv"
    priority: 500  # so that the longest jobs can start early
    conda:
        "../../environment.yml"
    params:
        entry=lambda w: catalogue.lookup(w.data)[0].model_dump_json(
            include={"classes", "files", "reader", "test", "title", "train"}
        ),
    message:
        "Prepare {wildcards.data}"
    shell:
        "uae prepare {wildcards.data} --out {output} > {log} 2>&1"
