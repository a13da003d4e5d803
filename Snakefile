# SeqScale: published "Mamba against Transformer" claims, put to the test.
#
#   snakemake --cores all                                       the quick start (config/config.yaml)
#   snakemake --cores all --configfile config/full.yaml         larger, a GPU machine
#   snakemake --cores all -n                                    what would run, and why
#
# Data flows down this list; each file holds one stage.
from snakemake.utils import min_version

min_version("9.0")


report: "report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/prepare.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/checkpoints.smk"
include: "workflow/rules/bench.smk"
include: "workflow/rules/analyse.smk"
include: "workflow/rules/tables.smk"
include: "workflow/rules/verdicts.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/report.smk"


onstart:
    write_dag()


onerror:
    report_what_is_there()


# Where the jobs go to a cluster, these run where the command was typed: they are short, or want the network.
localrules:
    all,
    prepare,
    choose_rate,
    resolve,


rule all:
    default_target: True
    input:
        "results/report.html",
        "results/verdicts.csv",
        figure_files(),
        table_files(),
        digest_files(),
        checkpoint_files(),
