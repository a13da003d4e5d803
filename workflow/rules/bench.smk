# Benchmarks, one job per suite and model. A timing job asks for every core that Snakemake may use, so that no other
# job of the DAG runs beside it; counting operations needs no such care.
UNTIMED = ("flops",)


rule bench:
    output:
        table="results/bench/{suite}/{model}.csv",
        notes="results/bench/{suite}/{model}.json",
    log:
        "results/logs/bench/{suite}/{model}.log",
    benchmark:
        "results/jobs/bench/{suite}/{model}.tsv"
    priority: 50  # first: once all cores are free, rather than waiting for them at the end
    conda:
        "../../environment.yml"
    threads: lambda w: every_core() if MATRIX.bench_kind(w.suite) not in UNTIMED else 1
    resources:
        gpu=gpus_of_one,
    params:
        script=f"{SRC}/bench.py",
        config=lambda w: as_json(MATRIX.bench_config(w.suite, w.model)),
        code=lambda w: code("bench.py", bench_modules(w)),
    shell:
        "python {params.script} --suite {wildcards.suite} --config {params.config:q} "
        "--out results/bench/{wildcards.suite}/{wildcards.model} > {log} 2>&1"
