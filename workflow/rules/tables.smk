# Everything above as tidy tables. results/config.json is the resolved configuration and the list of all jobs.
rule resolve:
    output:
        "results/config.json",
    log:
        "results/logs/resolve.log",
    conda:
        "../../environment.yml"
    params:
        script=f"{SRC}/resolve.py",
        resolved=as_json(
            {
                "values": CONFIG.values,
                "models": CONFIG.models,
                "datasets": CONFIG.datasets,
            }
        ),
        code=code("resolve.py"),
    shell:
        "python {params.script} --resolved {params.resolved:q} --out {output} > {log} 2>&1"


rule tables:
    input:
        config="results/config.json",
        data=expand(
            "results/data/{dataset}/meta.json",
            dataset={x["dataset"] for x in MATRIX.experiments.values()},
        ),
        runs=[
            f"results/runs/{experiment}/{model}/seed{seed}/{name}"
            for experiment, model, seed in MATRIX.runs()
            for name in ("summary.json", "history.csv", "metrics.json")
        ],
        search=[
            f"results/search/{experiment}/{model}/lr{rate}/summary.json"
            for experiment, model, rate in MATRIX.searches()
        ],
        best=sorted(
            {
                f"results/search/{experiment}/{model}/best.json"
                for experiment, model, _ in MATRIX.searches()
            }
        ),
        bench=[
            f"results/bench/{suite}/{model}.{kind}"
            for suite, model in MATRIX.benches()
            for kind in ("csv", "json")
        ],
        analyses=expand("results/analyses/{name}.csv", name=MATRIX.analyses()),
    output:
        expand("results/tables/{name}.{kind}", name=TABLES, kind=("csv", "parquet")),
    log:
        "results/logs/tables.log",
    conda:
        "../../environment.yml"
    params:
        script=f"{SRC}/tables.py",
        code=code("tables.py"),
    shell:
        "python {params.script} --results results --config {input.config} --out results/tables > {log} 2>&1"
