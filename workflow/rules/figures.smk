# Tables -> the tables of which the report consists -> figures, each as SVG, PNG and the CSV behind it.
STYLE = os.path.relpath(ROOT / "report" / "style.yaml")
README_PICTURES = {
    "two-cores": ("final_loss", "prefill_scaling"),
    "h200": ("prefill_scaling", "decode_scaling", "crossovers", "roofline"),
}


# Time and memory of the jobs are read as they lie in results/jobs (Snakemake's `benchmark:`).
rule digest:
    input:
        tables=expand("results/tables/{name}.parquet", name=TABLES),
        verdicts="results/verdicts.csv",
        config="results/config.json",
        claims=CLAIMS,
        checkpoints=checkpoint_files(),
    output:
        expand("results/tables/{name}.{kind}", name=DIGESTS, kind=("csv", "parquet")),
    log:
        "results/logs/digest.log",
    conda:
        "../../environment.yml"
    params:
        script=f"{SRC}/digest.py",
        compare=compared_run(),
        code=code("digest.py"),
    shell:
        "python {params.script} --tables results/tables --verdicts {input.verdicts} --config {input.config} "
        "--claims {input.claims} --jobs results/jobs --data results/data --checkpoints results/checkpoints {params.compare:q} --out results/tables > {log} 2>&1"


# README's pictures, from the committed tables of the reference runs: `make readme` remakes them.
rule readme_pictures:
    input:
        [
            f"results/reference/{machine}/figures/{name}.svg"
            for machine, names in README_PICTURES.items()
            for name in names
        ],


rule readme_picture:
    input:
        tables=lambda w: sorted(
            os.path.relpath(f)
            for f in (ROOT / "results" / "reference" / w.machine).glob("*.csv")
        ),
        style=STYLE,
    output:
        "results/reference/{machine}/figures/{name}.svg",
    log:
        "results/logs/readme_picture/{machine}/{name}.log",
    wildcard_constraints:
        machine="|".join(README_PICTURES),
    conda:
        "../../environment.yml"
    params:
        script=f"{SRC}/figures.py",
        code=code("figures.py"),
    shell:
        "python {params.script} --tables results/reference/{wildcards.machine} --style {input.style} --kinds svg "
        "--out results/reference/{wildcards.machine}/figures --only {wildcards.name} > {log} 2>&1"


rule figures:
    input:
        tables=expand("results/tables/{name}.parquet", name=(*TABLES, *DIGESTS)),
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
            for figure in (*FIGURES, *EVIDENCE)
        ],
        expand(
            "results/figures/{name}.{kind}",
            name=[figure.name for figure in (*FIGURES, *EVIDENCE)],
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
