# Experiments that train nothing, one job each; scipy_response reads trained models.
rule analyse:
    input:
        unpack(analysed_runs),
    output:
        table="results/analyses/{analysis}.csv",
        notes="results/analyses/{analysis}.json",
    log:
        "results/logs/analyse/{analysis}.log",
    conda:
        "../../environment.yml"
    threads: lambda w: every_core() if w.analysis == "nplr_kernel" else 1  # it takes times
    resources:
        gpu=gpus_of_one,
    params:
        script=f"{SRC}/analyse.py",
        config=lambda w: as_json(MATRIX.analysis_config(w.analysis)),
        trained=lambda w, input: (
            [
                "--runs",
                *dict.fromkeys(os.path.dirname(file) for file in input.runs),
                "--data",
                os.path.dirname(input.data[0]),
            ]
            if input.get("runs")
            else []
        ),
        code=lambda w: code(
            "analyse.py",
            (
                f"seqscale.analyses.{w.analysis}",
                *(
                    module
                    for _, model, _ in MATRIX.analysis_runs(w.analysis)
                    for module in mixer_modules(model)
                ),
            ),
        ),
    shell:
        "python {params.script} --name {wildcards.analysis} --config {params.config:q} {params.trained:q} "
        "--out results/analyses/{wildcards.analysis} > {log} 2>&1"
