# Corpus -> verified bytes -> tokens on disk.


def text_file_of(wildcards):
    """The text file of a dataset, so that editing it reruns what depends on it; none for generated and built-in ones."""
    from seqscale.data.corpora import find_file

    spec = CONFIG.datasets[wildcards.dataset]
    return str(find_file(spec["path"], CONFIG.mirror)) if spec["kind"] == "text" else []


rule prepare:
    input:
        text_file_of,
    output:
        "results/data/{dataset}/meta.json",
    params:
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
        "python {SRC}/prepare.py --name {wildcards.dataset} --spec {params.spec:q} --context {params.context} "
        "{params.mirror} --out results/data/{wildcards.dataset} 2> {log}"
