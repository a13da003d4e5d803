# Benchmarks, one job per suite and model. A timing job asks for every core that Snakemake may use, so that no other
# job of the DAG runs beside it; counting operations needs no such care.
TIMED = ("prefill", "decode", "train_step", "memory")


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
    threads: lambda w: (workflow.cores or 1) if w.suite in TIMED else 1
    resources:
        gpu=1,
    params:
        script=f"{SRC}/bench.py",
        config=lambda w: as_json(MATRIX.bench_config(w.suite, w.model)),
        code=lambda w: code("bench.py", mixer_module(w.model)),
    shell:
        "python {params.script} --suite {wildcards.suite} --config {params.config:q} "
        "--out results/bench/{wildcards.suite}/{wildcards.model} > {log} 2>&1"
