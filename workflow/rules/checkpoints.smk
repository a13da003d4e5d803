# Checkpoints of transformers that the configuration names: perplexity of its texts, and recall.
rule checkpoint:
    input:
        weights_of,
    output:
        "results/checkpoints/{checkpoint}.csv",
    log:
        "results/logs/checkpoint/{checkpoint}.log",
    wildcard_constraints:
        checkpoint=r"\w+",
    conda:
        "../../environment.yml"
    threads: CONFIG.values["compute"]["threads"]
    resources:
        gpu=gpus_of_one,
    params:
        script=f"{SRC}/checkpoint.py",
        spec=lambda w: as_json(CHECKPOINTS[w.checkpoint]),
        texts=lambda w: as_json(
            {
                name: CONFIG.datasets[name]
                for name in CHECKPOINTS[w.checkpoint]["texts"]
            }
        ),
        compute=as_json(CONFIG.values["compute"]),
        mirror=["--mirror", CONFIG.mirror] if CONFIG.mirror else [],
        code=code("checkpoint.py"),
    shell:
        "python {params.script} --name {wildcards.checkpoint} --spec {params.spec:q} --texts {params.texts:q} "
        "--compute {params.compute:q} {params.mirror:q} --out {output} 2> {log}"
