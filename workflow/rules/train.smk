# One job per run. Checkpoints live in results/work, which Snakemake does not clean up: a killed run resumes from there.


rule search:
    input:
        data=dataset_of,
    output:
        summary="results/search/{experiment}/{model}/lr{rate}/summary.json",
        history="results/search/{experiment}/{model}/lr{rate}/history.csv",
        weights=temp("results/search/{experiment}/{model}/lr{rate}/model.safetensors"),
    log:
        "results/logs/search/{experiment}/{model}/lr{rate}.log",
    benchmark:
        "results/jobs/search/{experiment}/{model}/lr{rate}.tsv"
    conda:
        "../../environment.yml"
    threads: CONFIG.values["compute"]["threads"] * CONFIG.values["compute"]["processes"]
    resources:
        gpu=gpus,
    params:
        script=f"{SRC}/train.py",
        config=lambda w: as_json(MATRIX.search_config(w.experiment, w.model, w.rate)),
        code=lambda w: code("train.py", mixer_modules(w.model)),
    shell:
        "python {params.script} --config {params.config:q} --data $(dirname {input.data}) "
        "--work results/work/search/{wildcards.experiment}/{wildcards.model}/lr{wildcards.rate} "
        "--out $(dirname {output.summary}) 2> {log}"


rule choose_rate:
    input:
        lambda w: expand(
            "results/search/{{experiment}}/{{model}}/lr{rate}/summary.json",
            rate=MATRIX.rates(w.experiment, w.model),
        ),
    output:
        "results/search/{experiment}/{model}/best.json",
    log:
        "results/logs/choose_rate/{experiment}/{model}.log",
    conda:
        "../../environment.yml"
    params:
        script=f"{SRC}/choose_rate.py",
        code=code("choose_rate.py"),
    shell:
        "python {params.script} {input} --out {output} 2> {log}"


rule train:
    input:
        data=dataset_of,
        search=best_rate_of,
    output:
        weights="results/runs/{experiment}/{model}/seed{seed}/model.safetensors",
        history="results/runs/{experiment}/{model}/seed{seed}/history.csv",
        summary="results/runs/{experiment}/{model}/seed{seed}/summary.json",
    log:
        "results/logs/train/{experiment}/{model}/seed{seed}.log",
    benchmark:
        "results/jobs/train/{experiment}/{model}/seed{seed}.tsv"
    conda:
        "../../environment.yml"
    threads: CONFIG.values["compute"]["threads"] * CONFIG.values["compute"]["processes"]
    resources:
        gpu=gpus,
    params:
        script=f"{SRC}/train.py",
        config=lambda w: as_json(MATRIX.run_config(w.experiment, w.model, int(w.seed))),
        search=lambda w, input: (
            f"--search {input.search}" if input.get("search") else ""
        ),
        code=lambda w: code("train.py", mixer_modules(w.model)),
    shell:
        "python {params.script} --config {params.config:q} --data $(dirname {input.data}) {params.search} "
        "--work results/work/runs/{wildcards.experiment}/{wildcards.model}/seed{wildcards.seed} "
        "--out $(dirname {output.summary}) 2> {log}"
