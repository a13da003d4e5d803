# The notebook, run by papermill, as one HTML file that works offline.
rule report:
    input:
        tables=table_files(),
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
    output:
        "results/report.html",
    log:
        "results/logs/report.log",
    conda:
        "../../environment.yml"
    params:
        script=f"{SRC}/report.py",
        code=code("report.py"),
    shell:
        "python {params.script} --tables results/tables --verdicts {input.verdicts} --figures results/figures "
        "--config {input.config} --style {input.style} --out {output} > {log} 2>&1"
