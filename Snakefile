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
    """The default target: all tables and figures, the headline numbers and the report."""
    default_target: True
    input:
        rules.report.output,
        rules.report.input.tables,
        rules.report.input.figures,
        HEADLINE,


rule tables:
    """All tables with records, and the headline numbers."""
    input:
        rules.report.input.tables,
        HEADLINE,


rule figures:
    """All figures with records."""
    input:
        rules.report.input.figures,


NAMED = [name for name in sys.argv[1:] if name in NAMES]


rule named:
    """Items named on the command line: `snakemake table4 figure9`, or `raw_svhn` for the files of a data set."""
    input:
        [file for name in NAMED for file in files_of(name)],


# Snakemake finds targets among the rules, so each of these names refers to this rule.
workflow._rules.update(dict.fromkeys(NAMED, workflow.get_rule("named")))


for word in set(sys.argv[1:]) - NAMES if workflow.is_main_process else []:
    close = difflib.get_close_matches(word, NAMES, n=1, cutoff=0.8)
    if close and not workflow.is_rule(word):
        logger.warning(f"{word}: no target has this name; did you mean {close[0]}?")
