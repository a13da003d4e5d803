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
    benchmark:
        "results/jobs/verdicts.tsv"
    conda:
        "../../environment.yml"
    params:
        script=f"{SRC}/verdicts.py",
        code=code("verdicts.py"),
    shell:
        "python {params.script} --tables results/tables --claims {input.claims} --out results > {log} 2>&1"


# One claim by itself, from what it rests on and nothing else. Rerun it from scratch:
#   snakemake --cores all --forceall results/claims/001.scaling.csv
rule claim:
    input:
        files_of_claim,
        config="results/config.json",
        claims=CLAIMS,
    output:
        "results/claims/{claim}.csv",
    log:
        "results/logs/claims/{claim}.log",
    conda:
        "../../environment.yml"
    params:
        script=f"{SRC}/claim.py",
        code=code("claim.py"),
    shell:
        "python {params.script} --claim {wildcards.claim} --results results --config {input.config} "
        "--claims {input.claims} --out {output} > {log} 2>&1"
