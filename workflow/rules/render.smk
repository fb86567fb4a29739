rule table:
    input:
        records=reconstruction_records(),
        code=sources("tables"),
    output:
        report(
            f"{RESULTS}/tables/{{table}}.csv",
            caption="../report/{table}.rst",
            category="Tables",
            labels={"table": "{table}"},
        ),
        f"{RESULTS}/tables/{{table}}.tex",
        f"{RESULTS}/tables/{{table}}.md",
    log:
        f"logs/{cfg.name}/render/{{table}}.log",
    benchmark:
        f"benchmarks/jobs/{cfg.name}/render/{{table}}.tsv"
    wildcard_constraints:
        table="table[0-9]+",
    localrule: True
    conda:
        "../../environment.yml"
    params:
        records=lambda w: f"{RESULTS}/records/reconstruction",
        folder=lambda w, output: Path(output[0]).parent,
    message:
        "Render {wildcards.table}"
    shell:
        "uae render {wildcards.table} {params.records} --out {params.folder} > {log} 2>&1"


rule figure:
    input:
        grids=[
            f"{RESULTS}/records/figure5/{panel.dataset}/{panel.model}/{panel.method}/seed{cfg.seeds[0]}.safetensors"
            for panel in cfg.panels
        ],
        code=sources("figures"),
    output:
        report(
            f"{RESULTS}/figures/figure5.pdf",
            caption="../report/figure5.rst",
            category="Figures",
            labels={"figure": "figure5"},
        ),
        f"{RESULTS}/figures/figure5.png",
        f"{RESULTS}/figures/figure5.safetensors",
    log:
        f"logs/{cfg.name}/render/figure5.log",
    benchmark:
        f"benchmarks/jobs/{cfg.name}/render/figure5.tsv"
    localrule: True
    conda:
        "../../environment.yml"
    params:
        folder=lambda w, output: Path(output[0]).parent,
    message:
        "Render figure5"
    shell:
        "uae render figure5 {input.grids} --out {params.folder} > {log} 2>&1"


rule report:
    input:
        records=reconstruction_records(),
        tables=[f"{RESULTS}/tables/{name}.csv" for name in TABLES],
        figures=[f"{RESULTS}/figures/{name}.png" for name in FIGURES],
        code=sources("report"),
    output:
        f"{RESULTS}/report.html",
    log:
        f"logs/{cfg.name}/render/report.log",
    benchmark:
        f"benchmarks/jobs/{cfg.name}/render/report.tsv"
    localrule: True
    conda:
        "../../environment.yml"
    params:
        folder=lambda w, output: Path(output[0]).parent,
        scale=cfg.name,
    message:
        "Write the report: {output}"
    shell:
        "uae report {params.folder} --out {output} --scale {params.scale}" " > {log} 2>&1"


# `snakemake table4`, `snakemake figure5`: one item alone.
for name in TABLES:

    rule:
        name:
            name
        input:
            f"{RESULTS}/tables/{name}.csv",


for name in FIGURES:

    rule:
        name:
            name
        input:
            f"{RESULTS}/figures/{name}.png",
