# The only stage that reads the test split: each reported run once, over all of it.
rule evaluate:
    input:
        data=dataset_of,
        weights="results/runs/{experiment}/{model}/seed{seed}/model.safetensors",
        summary="results/runs/{experiment}/{model}/seed{seed}/summary.json",
        probes=probes_of,
    output:
        "results/runs/{experiment}/{model}/seed{seed}/metrics.json",
    log:
        "results/logs/evaluate/{experiment}/{model}/seed{seed}.log",
    benchmark:
        "results/jobs/evaluate/{experiment}/{model}/seed{seed}.tsv"
    conda:
        "../../environment.yml"
    threads: CONFIG.values["compute"]["threads"]
    resources:
        gpu=gpus_of_one,
    params:
        script=f"{SRC}/evaluate.py",
        sample=sample_of,
        probes=lambda w, input: (
            ["--probes", input.probes] if input.get("probes") else []
        ),
        code=lambda w: code("evaluate.py", mixer_modules(w.model)),
    shell:
        "python {params.script} --run $(dirname {input.summary}) --data $(dirname {input.data}) --out {output} "
        "{params.sample:q} {params.probes:q} 2> {log}"
