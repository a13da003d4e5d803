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
