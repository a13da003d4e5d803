# Tables and claims -> verdicts.
rule verdicts:
    input:
        tables=expand("results/tables/{name}.parquet", name=TABLES),
        claims=CLAIMS,
    output:
        report(
            "results/verdicts.csv",
            caption="../../report/captions/verdicts.rst",
            category="Verdicts",
        ),
        "results/verdicts.json",
    log:
        "results/logs/verdicts.log",
    conda:
        "../../environment.yml"
    params:
        script=f"{SRC}/verdicts.py",
        code=code("verdicts.py"),
    shell:
        "python {params.script} --tables results/tables --claims {input.claims} --out results > {log} 2>&1"
