"""The whole pipeline on the tiny configuration: what it leaves behind, and what it reruns after which change."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest
import yaml
from pipeline_copy import Pipeline

from seqscale.config import Matrix, resolve

pytestmark = pytest.mark.slow

RUN_COLUMNS = [
    "experiment",
    "protocol",
    "dataset",
    "model",
    "seed",
    "params",
    "params_nonembedding",
    "train_tokens",
    "train_flops",
    "train_seconds",
    "valid_loss",
    "test_loss",
    "test_accuracy",
]
BENCH_COLUMNS = [
    "suite",
    "model",
    "implementation",
    "device",
    "dtype",
    "batch",
    "length",
    "d_inner",
    "d_state",
    "direction",
    "quantity",
    "unit",
    "median",
    "p20",
    "p80",
    "repeats",
    "oom",
]
VERDICT_COLUMNS = ["claim", "protocol", "published", "measured", "ci_low", "ci_high", "unit", "verdict", "reason"]
DOWNSTREAM = {"tables": 1, "verdicts": 1, "figures": 1, "report": 1}


def replace(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text, f"{old!r} is not in {file.name}"
    file.write_text(text.replace(old, new, 1))


def count_runs(pipeline: Pipeline, mixer: str | None = None) -> int:
    """Reported runs of the tiny configuration, of all models or of those with one mixer."""
    config = resolve(yaml.safe_load((pipeline.folder / "config/tiny.yaml").read_text()), [], pipeline.folder)
    return sum(mixer in (None, config.models[model]["mixer"]) for _, model, _ in Matrix(config).runs())


@pytest.mark.parametrize(
    ("name", "columns"),
    [("tables/runs", RUN_COLUMNS), ("tables/bench", BENCH_COLUMNS), ("verdicts", VERDICT_COLUMNS)],
)
def test_tables_have_the_promised_columns(finished: Pipeline, name: str, columns: list[str]) -> None:
    table = pd.read_csv(finished.folder / "results" / f"{name}.csv")
    assert list(table.columns[: len(columns)]) == columns
    assert len(table) > 0


def test_every_run_is_in_the_table_with_its_numbers(finished: Pipeline) -> None:
    runs = pd.read_csv(finished.folder / "results/tables/runs.csv")
    assert len(runs) == count_runs(finished)
    assert (runs["status"] == "ok").all()
    for row in runs.itertuples():
        folder = finished.folder / f"results/runs/{row.experiment}/{row.model}/seed{row.seed}"
        metrics = json.loads((folder / "metrics.json").read_text())
        assert row.test_loss == pytest.approx(metrics["test"]["loss"], rel=1e-12)
        assert row.valid_loss == pytest.approx(metrics["valid"]["loss"], rel=1e-12)


def test_the_report_is_one_file_that_names_every_model(finished: Pipeline) -> None:
    page = (finished.folder / "results/report.html").read_text()
    assert len(page) < 15e6
    for title in ("Linear", "Transformer", "Mamba"):
        assert title in page
    assert not re.search(r"""(?:src|href)=["'](?:https?:)?//""", page)


def test_figures_are_there_in_both_forms(finished: Pipeline) -> None:
    figures = finished.folder / "results/figures"
    names = {f.stem for f in figures.glob("*.svg")}
    assert len(names) >= 10
    assert names == {f.stem for f in figures.glob("*.png")}


def test_nothing_touched_nothing_to_do(finished: Pipeline) -> None:
    assert finished.jobs() == {}


def test_a_models_learning_rate_reruns_that_models_runs(edited: Pipeline) -> None:
    config = edited.folder / "config/tiny.yaml"
    replace(config, "    sample:", "    overrides: {mamba: {learning_rates: [2.0e-3, 1.0e-2]}}\n    sample:")
    assert edited.jobs() == {"search": 1, "choose_rate": 1, "train": 3, "evaluate": 3, "resolve": 1, **DOWNSTREAM}


def test_a_given_rate_for_one_model_reruns_that_models_runs(edited: Pipeline) -> None:
    config = edited.folder / "config/tiny.yaml"
    replace(config, "    sample:", "    overrides: {mamba: {learning_rate: 2.0e-3}}\n    sample:")
    assert edited.jobs() == {"train": 3, "evaluate": 3, "resolve": 1, **DOWNSTREAM}


def test_editing_a_mixers_code_reruns_that_mixers_runs(edited: Pipeline) -> None:
    line = "linear(low, self.dt_proj.weight)"
    replace(edited.folder / "src/seqscale/mixers/mamba.py", line, f"{line} + 0.0")
    runs = count_runs(edited, mixer="mamba")
    assert runs > 5
    # 2 search runs, every seed of every model with that mixer, 5 benchmark suites
    assert edited.jobs() == {"search": 2, "choose_rate": 1, "train": runs, "evaluate": runs, "bench": 5, **DOWNSTREAM}


def test_editing_the_training_loop_reruns_training_and_no_benchmark(edited: Pipeline) -> None:
    replace(edited.folder / "src/seqscale/training/loop.py", "tokens_per_step = run", "tokens_per_step = 1 * run")
    jobs = edited.jobs()
    assert jobs["train"] == count_runs(edited)
    assert jobs["search"] == 6
    assert "bench" not in jobs
    assert "prepare" not in jobs


@pytest.mark.parametrize("file", ["src/seqscale/mixers/mamba.py", "src/seqscale/training/loop.py"])
def test_comments_and_docstrings_rerun_nothing(edited: Pipeline, file: str) -> None:
    path = edited.folder / file
    path.write_text(path.read_text().replace('"""', '"""Reworded. ', 1) + "\n# a comment\n")
    assert edited.jobs() == {}


def test_a_new_title_redraws_and_trains_nothing(edited: Pipeline) -> None:
    replace(edited.folder / "config/models.yaml", "title: Mamba", "title: Mamba, the first")
    assert edited.jobs() == {"resolve": 1, **DOWNSTREAM}


def test_claims_rerun_verdicts_and_report(edited: Pipeline) -> None:
    path = edited.folder / "config/claims.yaml"
    path.write_text(path.read_text() + "\n# a word\n")
    assert edited.jobs() == {"verdicts": 1, "report": 1}


def test_one_more_seed_trains_one_run_per_model(edited: Pipeline) -> None:
    replace(edited.folder / "config/tiny.yaml", "seeds: [1, 2, 3]", "seeds: [1, 2, 3, 4]")
    jobs = edited.jobs()
    assert (jobs["train"], jobs["evaluate"]) == (3, 3)
    assert "search" not in jobs


def test_snakemakes_own_report_works(finished: Pipeline) -> None:
    done = finished.run("--report", "snakemake-report.html")
    assert done.returncode == 0, done.stderr[-3000:]
    page = (finished.folder / "snakemake-report.html").read_text()
    assert "Verdicts" in page
    assert "training_curves" in page


def test_lint_finds_nothing(finished: Pipeline) -> None:
    done = finished.run("--lint")
    assert done.returncode == 0, done.stdout + done.stderr
