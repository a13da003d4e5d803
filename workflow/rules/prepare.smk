# Corpus -> verified bytes -> tokens on disk.
rule prepare:
    input:
        text_file_of,
    output:
        "results/data/{dataset}/meta.json",
    log:
        "results/logs/prepare/{dataset}.log",
    benchmark:
        "results/jobs/prepare/{dataset}.tsv"
    conda:
        "../../environment.yml"
    params:
        script=f"{SRC}/prepare.py",
        spec=lambda wildcards: as_json(CONFIG.datasets[wildcards.dataset]),
        mirror=mirror_for,
        python=sys.version_info[:2],  # pydoc_topics differs from one Python to the next
        code=code("prepare.py"),
    shell:
        "python {params.script} --name {wildcards.dataset} --spec {params.spec:q} "
        "{params.mirror:q} --out results/data/{wildcards.dataset} 2> {log}"
