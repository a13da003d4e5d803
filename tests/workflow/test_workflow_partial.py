"""A run that fails, and results that are lost, still end in a report that names its holes."""

import shutil

import pandas as pd
import pytest
from pipeline_copy import Pipeline

pytestmark = pytest.mark.slow

EXPERIMENT = {
    "dataset": "pydoc_topics",
    "models": ["linear", "mlp"],
    "reference_model": "linear",
    "context": 16,
    "batch": 2,
    "steps": 2,
    "eval_every": 2,
    "seeds": [1],
    "learning_rate": 0.01,
}

# it can be built, so it is found out only where it runs
BROKEN = """

def _broken(*arguments: object) -> None:
    raise RuntimeError("a mixer that nobody tried")


MLP.forward = _broken
"""


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Pipeline, int, str]:
    """A pipeline whose MLP crashes: the copy, the exit status of the run and what it said."""
    pipeline = Pipeline(tmp_path_factory.mktemp("failed") / "repo")
    config = pipeline.write_config("small", experiments={"text": EXPERIMENT}, benchmarks=None)
    mixer = pipeline.folder / "src/seqscale/mixers/mlp.py"
    mixer.write_text(mixer.read_text() + BROKEN)
    done = pipeline.run("--keep-going", config=config)
    return pipeline, done.returncode, done.stdout + done.stderr


def missing(pipeline: Pipeline) -> set[tuple[str, str]]:
    table = pd.read_csv(pipeline.folder / "results/tables/missing.csv")
    return {(row.kind, row.what) for row in table.itertuples()}


def test_a_crashed_job_fails_the_run_and_not_the_report(failed: tuple[Pipeline, int, str]) -> None:
    pipeline, status, said = failed
    assert status == 1
    assert "results/report.html shows what is there" in said
    page = (pipeline.folder / "results/report.html").read_text()
    assert "This report is partial" in page
    assert "MLP, seed 1" in page
    assert ("run", "text, MLP, seed 1") in missing(pipeline)
    runs = pd.read_csv(pipeline.folder / "results/tables/runs.csv").set_index("model")
    assert runs.loc["linear", "status"] == "ok"
    assert runs.loc["mlp", "status"] == "missing"
    # What the partial report left behind does not keep the next run from making what is missing.
    assert pipeline.jobs(config="config/small.yaml") == {
        "train": 1, "evaluate": 1, "tables": 1, "verdicts": 1, "digest": 1, "figures": 1, "report": 1,
    }  # fmt: skip


def test_lost_files_are_named_and_the_exit_is_0(failed: tuple[Pipeline, int, str]) -> None:
    pipeline, _, _ = failed
    results = pipeline.folder / "results"
    for place in ("figures", "tables", "runs/text/linear/seed1/history.csv", "verdicts.csv"):
        path = results / place
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    done = pipeline.run("partial_report", config="config/small.yaml")
    assert done.returncode == 0, done.stderr
    assert "warning: missing run: text, Linear, seed 1" in done.stdout + done.stderr
    assert {("run", "text, Linear, seed 1"), ("run", "text, MLP, seed 1")} <= missing(pipeline)
    assert "This report is partial" in (results / "report.html").read_text()


def test_mended_it_runs_whole_again(failed: tuple[Pipeline, int, str]) -> None:
    pipeline, _, _ = failed
    mixer = pipeline.folder / "src/seqscale/mixers/mlp.py"
    mixer.write_text(mixer.read_text().partition("\nraise RuntimeError")[0])
    jobs = pipeline.jobs(config="config/small.yaml")
    assert jobs["train"] == 2  # the MLP, and the linear model whose history was lost
    assert {"tables", "verdicts", "digest", "figures", "report"} <= set(jobs)
