# The notebook, run by papermill, as one HTML file that works offline.
rule report:
    input:
        tables=table_files(),
        digests=digest_files(),
        verdicts="results/verdicts.csv",
        figures=figure_files(),
        config="results/config.json",
        notebook=os.path.relpath(ROOT / "workflow" / "notebooks" / "report.ipynb"),
        style=STYLE,
        template=[
            os.path.relpath(f)
            for f in sorted((ROOT / "report" / "template").rglob("*"))
            if f.is_file()
        ],
        captions=[
            os.path.relpath(f)
            for f in sorted((ROOT / "report" / "captions").glob("*.rst"))
        ],
        mixers=[
            os.path.relpath(f)
            for f in sorted((ROOT / "report" / "mixers").glob("*.rst"))
        ],
    output:
        "results/report.html",
    log:
        "results/logs/report.log",
    conda:
        "../../environment.yml"
    params:
        script=f"{SRC}/report.py",
        dag="results/dag.json",
        code=code("report.py"),
    shell:
        "python {params.script} --tables results/tables --verdicts {input.verdicts} --figures results/figures "
        "--config {input.config} --style {input.style} --dag {params.dag} --out {output} > {log} 2>&1"


# What is there, as a report: after a run that failed (the Snakefile does it by itself), or at any time. Trains nothing.
#   make report      or      snakemake --cores 1 partial_report
rule partial_report:
    input:
        config="results/config.json",
    log:
        "results/logs/partial_report.log",
    conda:
        "../../environment.yml"
    params:
        script=f"{SRC}/partial.py",
        compare=compared_run(),
    shell:
        "python {params.script} --results results --config {input.config} {params.compare:q} 2>&1 | tee {log}"


def write_dag():
    """results/dag.json: the rules and their arrows, for the report's picture. Only where the whole DAG is at hand."""
    edges = sorted(
        {
            (before.rule.name, job.rule.name)
            for job in workflow.dag.jobs
            for before in workflow.dag.dependencies[job]
            if job.rule.name != "all"
        }
    )
    if any(after == "report" for _, after in edges):
        write_json("results/dag.json", {"edges": edges})


def report_what_is_there():
    """After a failed run that was to end in a report: the report of what there is, its holes named."""
    if not any(job.rule.name == "report" for job in workflow.dag.jobs):
        return
    log = "results/logs/partial_report.log"
    script = [sys.executable, f"{SRC}/partial.py", "--results", "results"]
    shell(
        "{script:q} {compare:q} > {log} 2>&1 && tail -n 1 {log} >&2 || cat {log} >&2",
        script=script,
        compare=compared_run(),
        log=log,
    )
