from uae.paper.layouts import items

TABLES = {name: kind for name, kind in items()["tables"].items() if shown_in(name, kind)}
FIGURES = {name: item for name, item in items()["figures"].items() if shown(item)}


for name, kind in TABLES.items():

    rule:
        name:
            f"render_{name}"
        input:
            records=shown_in(name, kind),
            code=sources("uae.paper.formats"),
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
            scale=cfg.name,
            fill=cfg.fill or "none",
            folder=lambda w, output: Path(output[0]).parent,
        message:
            f"Render {name}"
        shell:
            "uae render {params.name} --scale {params.scale} --fill {params.fill} --out {params.folder} > {log} 2>&1"


for name, item in FIGURES.items():

    rule:
        name:
            f"render_{name}"
        input:
            records=shown(item),
            code=sources(f"uae.paper.figures.{name}"),
        output:
            report(
                f"{RESULTS}/figures/{name}.pdf",
                caption=f"../report/{name}.rst",
                category="Figures",
                labels={"figure": name},
            ),
            f"{RESULTS}/figures/{name}.png",
            f"{RESULTS}/figures/{name}.{item['numbers']}",
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
        # The claims are about these two, too.
        records=[path for kind in sorted({*TABLES.values(), "bounds", "theorem1"}) for path in every(kind)],
        tables=[f"{RESULTS}/tables/{name}.csv" for name in TABLES],
        figures=[f"{RESULTS}/figures/{name}.png" for name in FIGURES],
        captions=sorted(map(str, Path("workflow/report").glob("*.rst"))),
        code=sources("uae.paper.report"),
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
        fill=cfg.fill or "none",
    message:
        "Write the report: {output}"
    shell:
        "uae report {params.folder} --out {output} --scale {params.scale} --fill {params.fill}"
        " --captions workflow/report > {log} 2>&1"


# `snakemake table4`, `snakemake figure5`: one item alone.
for name in [*items()["tables"], *items()["figures"]]:

    rule:
        name:
            name
        input:
            (
                f"{RESULTS}/tables/{name}.csv"
                if name in TABLES
                else f"{RESULTS}/figures/{name}.png" if name in FIGURES else nothing_of(name)
            ),
