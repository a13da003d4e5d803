# Corpus -> verified bytes -> tokens on disk.
rule prepare:
    input:
        text_file_of,
    output:
        "results/data/{dataset}/meta.json",
    params:
        script=f"{SRC}/prepare.py",
        config=lambda wildcards: as_json(MATRIX.dataset_config(wildcards.dataset)),
        spec=lambda wildcards: as_json(CONFIG.datasets[wildcards.dataset]),
        context=lambda wildcards: MATRIX.dataset_config(wildcards.dataset)["context"],
        mirror=f"--mirror {CONFIG.mirror}" if CONFIG.mirror else "",
        python=sys.version_info[:2],  # pydoc_topics differs from one Python to the next
        code=code("prepare.py"),
    log:
        "results/logs/prepare/{dataset}.log",
    conda:
        "../../environment.yml"
    shell:
        "python {params.script} --name {wildcards.dataset} --spec {params.spec:q} --context {params.context} "
        "{params.mirror} --out results/data/{wildcards.dataset} 2> {log}"
