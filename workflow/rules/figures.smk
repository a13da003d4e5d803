# Tables -> figures, each as SVG, PNG and the CSV behind it.
STYLE = os.path.relpath(ROOT / "report" / "style.yaml")


rule figures:
    input:
        tables=expand("results/tables/{name}.parquet", name=TABLES),
        config="results/config.json",
        style=STYLE,
        claims=CLAIMS,
    output:
        [
            report(
                f"results/figures/{figure.name}.svg",
                caption=f"../../report/captions/{figure.caption}",
                category=figure.category,
                labels={"figure": figure.title},
            )
            for figure in FIGURES
        ],
        expand(
            "results/figures/{name}.{kind}",
            name=[figure.name for figure in FIGURES],
            kind=("png", "csv"),
        ),
    log:
        "results/logs/figures.log",
    conda:
        "../../environment.yml"
    params:
        script=f"{SRC}/figures.py",
        code=code("figures.py"),
    shell:
        "python {params.script} --tables results/tables --config {input.config} --style {input.style} "
        "--claims {input.claims} "
        "--out results/figures > {log} 2>&1"
