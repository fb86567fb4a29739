# Without records of the scale that replaces missing ones nothing is replaced. `--fill` refuses its name as a mistake.
FILL = cfg.fill if cfg.fill and Path(f"results/{cfg.fill}/records").is_dir() else "none"


rule render_table:
    """Render a table, ours beside the paper's: CSV, LaTeX and Markdown."""
    input:
        records=lambda wildcards: shown_in(wildcards.table),
        code=sources("uae.paper.formats"),
    output:
        report(
            update("results/{scale}/tables/{table}.csv"),
            caption="../report/item.rst",
            category="Tables",
            labels={"table": "{table}"},
        ),
        update("results/{scale}/tables/{table}.tex"),
        update("results/{scale}/tables/{table}.md"),
    log:
        "logs/{scale}/render/{table}.log",
    benchmark:
        "benchmarks/jobs/{scale}/render/{table}.tsv"
    wildcard_constraints:
        table="|".join(TABLES) or "none",
    priority: 2000  # as soon as there is something to see
    localrule: True
    conda:
        "../../environment.yml"
    params:
        fill=FILL,
        folder=lambda wildcards, output: Path(output[0]).parent,
        caption=lambda wildcards: caption(wildcards.table),
    message:
        "Render {wildcards.table}: {output[2]}"
    shell:
        "uae render {wildcards.table} --scale {wildcards.scale} --fill {params.fill} --out {params.folder} > {log} 2>&1"


rule render_figure:
    """Render a figure, with the numbers that it shows: PDF, PNG and CSV."""
    input:
        records=lambda wildcards: shown_in(wildcards.figure),
        code=lambda wildcards: sources(f"uae.paper.figures.{wildcards.figure}"),
    output:
        report(
            update("results/{scale}/figures/{figure}.pdf"),
            caption="../report/item.rst",
            category="Figures",
            labels={"figure": "{figure}"},
        ),
        update("results/{scale}/figures/{figure}.png"),
        update("results/{scale}/figures/{figure}.csv"),
    log:
        "logs/{scale}/render/{figure}.log",
    benchmark:
        "benchmarks/jobs/{scale}/render/{figure}.tsv"
    wildcard_constraints:
        figure="|".join(set(FIGURES) - set(GRIDS)) or "none",
    priority: 2000
    localrule: True
    conda:
        "../../environment.yml"
    params:
        folder=lambda wildcards, output: Path(output[0]).parent,
        caption=lambda wildcards: caption(wildcards.figure),
    message:
        "Render {wildcards.figure}: {output[1]}"
    shell:
        "uae render {wildcards.figure} {input.records} --out {params.folder} > {log} 2>&1"


use rule render_figure as render_grid with:
    # """Render a grid of images, with the images: PDF, PNG and safetensors."""
    output:
        report(
            update("results/{scale}/figures/{figure}.pdf"),
            caption="../report/item.rst",
            category="Figures",
            labels={"figure": "{figure}"},
        ),
        update("results/{scale}/figures/{figure}.png"),
        update("results/{scale}/figures/{figure}.safetensors"),
    wildcard_constraints:
        figure="|".join(GRIDS) or "none",


# The records of claims: those of the tables and of two more experiments
CLAIMED = [
    path
    for experiment in sorted({*(items()["tables"][name] for name in TABLES), "bounds", "theorem1"})
    for path in every(experiment)
    if path.endswith(".json")
]


rule headline:
    """Write the headline numbers that `dvc metrics` compares: errors, success rates, verdicts."""
    input:
        records=CLAIMED,
        code=sources("uae.paper.metrics"),
    output:
        update(f"{RESULTS}/metrics.json"),
    log:
        f"logs/{cfg.name}/render/metrics.log",
    benchmark:
        f"benchmarks/jobs/{cfg.name}/render/metrics.tsv"
    localrule: True
    conda:
        "../../environment.yml"
    params:
        folder=lambda wildcards, output: Path(output[0]).parent,
        fill=FILL,
    message:
        "Write the headline numbers: {output}"
    shell:
        "uae metrics {params.folder} --out {output} --fill {params.fill} > {log} 2>&1"


rule report:
    """Write the report: all claims, tables and figures on one page."""
    input:
        records=CLAIMED,
        tables=expand("{folder}/tables/{name}.csv", folder=RESULTS, name=TABLES),
        figures=expand("{folder}/figures/{name}.png", folder=RESULTS, name=FIGURES),
        captions=sorted(map(str, Path("workflow/report").glob("*.rst"))),
        code=sources("uae.paper.report"),
    output:
        update(f"{RESULTS}/report.html"),
    log:
        f"logs/{cfg.name}/render/report.log",
    benchmark:
        f"benchmarks/jobs/{cfg.name}/render/report.tsv"
    localrule: True
    conda:
        "../../environment.yml"
    params:
        folder=lambda wildcards, output: Path(output[0]).parent,
        fill=FILL,
    message:
        "Write the report: {output}"
    shell:
        "uae report {params.folder} --out {output} --fill {params.fill}"
        " --captions workflow/report > {log} 2>&1"
