from uae.paper.layouts import layouts, wanted

# Every table and figure, and the experiment whose records it is made from (all of them in every run).
TABLES = {
    "table1": "table1",
    "table2": "table2",
    "table3": "table3",
    "table4": "reconstruction",
    "table5": "reconstruction",
    "table6": "reconstruction",
    "table7": "contrastive",
    "table8": "reconstruction",
    "table9": "reconstruction",
    "appendixh": "reconstruction",
    "seeds": "reconstruction",
    "ablation": "reconstruction",
    "robust": "robustness",
}
# A figure's numbers are a .csv, an image grid's a .safetensors.
FIGURES = {
    "figure1": ("figure1", "safetensors"),
    "figure2": ("figure2", "csv"),
    "figure3": ("figure3", "safetensors"),
    "figure4": ("figure4", "safetensors"),
    "figure5": ("figure5", "safetensors"),
    "figure6": ("figure6", "safetensors"),
    "figure7": ("robustness", "csv"),
    "figure8": ("robustness", "csv"),
    "figure9": ("robustness", "csv"),
    "figure10a": ("robustness", "csv"),
    "theorem1": ("theorem1", "csv"),
    "figure10b": ("contrastive", "csv"),
}


def has_rows(name, kind):
    """Whether any record of the run is of the table: experiment/dataset/model/method/seed."""
    experiment = layouts()["tables"][name].get("experiment", "reconstruction")
    return any(wanted(name, experiment, *Path(path).parts[-4:-1]) for path in every(kind))


TABLES = {name: kind for name, kind in TABLES.items() if has_rows(name, kind)}
FIGURES = {name: kind for name, kind in FIGURES.items() if every(kind[0], "*")}


for name, kind in TABLES.items():

    rule:
        name:
            f"render_{name}"
        input:
            records=every(kind),
            code=sources("tables"),
        output:
            report(
                f"{RESULTS}/tables/{name}.csv",
                caption=f"../report/{name}.rst",
                category="Tables",
                labels={"table": name},
            ),
            f"{RESULTS}/tables/{name}.tex",
            f"{RESULTS}/tables/{name}.md",
        log:
            f"logs/{cfg.name}/render/{name}.log",
        benchmark:
            f"benchmarks/jobs/{cfg.name}/render/{name}.tsv"
        localrule: True
        conda:
            "../../environment.yml"
        params:
            name=name,
            records=lambda w, kind=kind: f"{RESULTS}/records/{kind}",
            folder=lambda w, output: Path(output[0]).parent,
        message:
            f"Render {name}"
        shell:
            "uae render {params.name} {params.records} --out {params.folder} > {log} 2>&1"


for name, (kind, suffix) in FIGURES.items():

    rule:
        name:
            f"render_{name}"
        input:
            records=every(kind, "*"),
            code=sources(name),
        output:
            report(
                f"{RESULTS}/figures/{name}.pdf",
                caption=f"../report/{name}.rst",
                category="Figures",
                labels={"figure": name},
            ),
            f"{RESULTS}/figures/{name}.png",
            f"{RESULTS}/figures/{name}.{suffix}",
        log:
            f"logs/{cfg.name}/render/{name}.log",
        benchmark:
            f"benchmarks/jobs/{cfg.name}/render/{name}.tsv"
        localrule: True
        conda:
            "../../environment.yml"
        params:
            name=name,
            folder=lambda w, output: Path(output[0]).parent,
        message:
            f"Render {name}"
        shell:
            "uae render {params.name} {input.records} --out {params.folder} > {log} 2>&1"


rule report:
    input:
        records=[path for kind in sorted(set(TABLES.values())) for path in every(kind)],
        tables=[f"{RESULTS}/tables/{name}.csv" for name in TABLES],
        figures=[f"{RESULTS}/figures/{name}.png" for name in FIGURES],
        captions=sorted(map(str, Path("workflow/report").glob("*.rst"))),
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
        "uae report {params.folder} --out {output} --scale {params.scale} --captions workflow/report > {log} 2>&1"


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
