from snakemake.utils import min_version

min_version("9.27")


include: "workflow/rules/common.smk"
include: "workflow/rules/metadata.smk"


if cfg.records == "live":

    include: "workflow/rules/data.smk"
    include: "workflow/rules/reconstruction.smk"
    include: "workflow/rules/evaluate.smk"
    include: "workflow/rules/contrastive.smk"
    include: "workflow/rules/supervised.smk"
    include: "workflow/rules/robustness.smk"


include: "workflow/rules/render.smk"


rule all:
    default_target: True
    input:
        rules.report.output,
        rules.report.input.tables,
        rules.report.input.figures,


rule tables:
    input:
        rules.report.input.tables,


rule figures:
    input:
        rules.report.input.figures,
