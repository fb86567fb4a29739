import difflib

from snakemake.utils import min_version

min_version("9.27")


include: "workflow/rules/common.smk"
include: "workflow/rules/metadata.smk"


if cfg.records == "live":

    include: "workflow/rules/data.smk"

    if cfg.together:

        include: "workflow/rules/together.smk"

    else:

        include: "workflow/rules/train.smk"
        include: "workflow/rules/attack.smk"
        include: "workflow/rules/evaluate.smk"


include: "workflow/rules/render.smk"


HEADLINE = rules.headline.output if TABLES else []


rule all:
    """Everything, on one page: what `snakemake` makes when no target is named."""
    default_target: True
    input:
        rules.report.output,
        rules.report.input.tables,
        rules.report.input.figures,
        HEADLINE,


rule tables:
    """All tables that the configuration has records of, and the headline numbers."""
    input:
        rules.report.input.tables,
        HEADLINE,


rule figures:
    """All figures that the configuration has records of."""
    input:
        rules.report.input.figures,


NAMED = [name for name in sys.argv[1:] if name in NAMES]


rule named:
    """What is named instead of a file: `snakemake table4 figure9`, or `raw_svhn` for the files of a data set."""
    input:
        [file for name in NAMED for file in files_of(name)],


# Snakemake looks targets up among the rules: each of these names is this one.
workflow._rules.update(dict.fromkeys(NAMED, workflow.get_rule("named")))


for word in set(sys.argv[1:]) - NAMES if workflow.is_main_process else []:
    close = difflib.get_close_matches(word, NAMES, n=1, cutoff=0.8)
    if close and not workflow.is_rule(word):
        logger.warning(f"{word}: no target has this name; did you mean {close[0]}?")
