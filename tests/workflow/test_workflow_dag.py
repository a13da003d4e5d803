"""The whole pipeline on the tiny configuration: what it leaves behind, and what it reruns after which change."""

import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from pipeline_copy import Pipeline

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

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
DOWNSTREAM = {"tables": 1, "verdicts": 1, "digest": 1, "figures": 1, "report": 1}


def asked(pipeline: Pipeline, kind: str = "runs", **wanted: str | set[str]) -> int:
    """How many runs (search runs, benchmarks) the configuration asks for: of this or these models, experiments, ..."""
    entries = json.loads((pipeline.folder / "results/config.json").read_text())[kind]
    allowed = {key: {value} if isinstance(value, str) else value for key, value in wanted.items()}
    return sum(all(entry[key] in values for key, values in allowed.items()) for entry in entries)


def with_mamba(pipeline: Pipeline) -> set[str]:
    """Models whose runs import mixers/mamba.py; the sources 000 and 003 as published do, in one file each."""
    models = json.loads((pipeline.folder / "results/config.json").read_text())["config"]["models"]
    return {name for name, m in models.items() if m["mixer"] == "mamba" or m["published"][:3] in ("000", "003")}


def replace(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text, f"{old!r} is not in {file.name}"
    file.write_text(text.replace(old, new, 1))


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
    assert len(runs) == asked(finished)
    assert (runs["status"] == "ok").all()
    for row in runs.itertuples():
        folder = finished.folder / f"results/runs/{row.experiment}/{row.model}/seed{row.seed}"
        metrics = json.loads((folder / "metrics.json").read_text())
        assert row.test_loss == pytest.approx(metrics["test"]["loss"], rel=1e-12)
        if row.protocol == "fair":  # no source looked at a validation split
            assert row.valid_loss == pytest.approx(metrics["valid"]["loss"], rel=1e-12)


def test_every_kind_of_corpus_is_in_the_tables(finished: Pipeline) -> None:
    runs = pd.read_csv(finished.folder / "results/tables/runs.csv").set_index("experiment")
    kinds = {
        json.loads((finished.folder / f"results/data/{name}/meta.json").read_text()).get("tokenizer")
        for name in runs["dataset"]
    }
    assert {"characters", "words", "gpt2", "bert_uncased"} <= kinds
    assert runs.loc[["text", "shakespeare"], "bits_per_character"].notna().all()
    assert runs.loc[["words", "words_ptb", "pieces", "sentiment"], "bits_per_character"].isna().all()
    assert runs.loc[["words", "pieces"], "perplexity"].notna().all()
    assert runs.loc["sentiment", "test_accuracy"].between(0, 1).all()


def test_classifiers_have_their_tables(finished: Pipeline) -> None:
    tables = finished.folder / "results/tables"
    accuracy = pd.read_csv(tables / "accuracy.csv").query("experiment == 'sentiment'")
    runs = pd.read_csv(tables / "runs.csv").query("experiment == 'sentiment'")
    whole = accuracy[accuracy["length_min"].isna() & (accuracy["split"] == "test")]
    of_runs = whole.dropna(subset="seed").set_index(["model", "seed"])["accuracy"]
    assert of_runs.to_dict() == runs.set_index(["model", "seed"])["test_accuracy"].to_dict()
    assert set(whole[whole["seed"].isna()]["model"]) == set(runs["model"])
    assert set(accuracy["split"]) == {"valid", "test", "manual"}
    buckets = accuracy.dropna(subset=["length_min", "seed"]).groupby(["model", "seed", "split"])["examples"].sum()
    assert (
        buckets == accuracy[accuracy["length_min"].isna()].groupby(["model", "seed", "split"])["examples"].sum()
    ).all()
    confusion = pd.read_csv(tables / "confusion.csv")
    assert set(confusion.query("split == 'manual'")["truth"]) == {"negative", "neutral", "positive"}
    assert len(pd.read_csv(tables / "examples.csv").query("experiment == 'sentiment'")) == 3 * len(runs)
    flips = pd.read_csv(tables / "counterfactuals.csv")
    assert flips[flips["term"].isna()].groupby("model")["attribute"].nunique().ge(5).all()
    assert (finished.folder / "results/data/sentiment140_tiny/train.csv").is_file()


def test_new_probes_ask_again_and_train_nothing(edited: Pipeline) -> None:
    replace(edited.folder / "config/probes.yaml", "the woman", "the lady")
    asking = asked(edited, experiment="sentiment") + asked(edited, experiment="published_003_sentiment140")
    assert edited.jobs() == {"evaluate": asking, **DOWNSTREAM}


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


def test_a_models_learning_rate_reruns_that_models_runs(edited: Pipeline) -> None:
    config = edited.folder / "config/tiny.yaml"
    replace(config, "    sample:", "    overrides: {mamba: {learning_rates: [2.0e-3, 1.0e-2]}}\n    sample:")
    assert edited.jobs() == {"search": 1, "choose_rate": 1, "train": 2, "evaluate": 2, "resolve": 1, **DOWNSTREAM}


def test_a_given_rate_for_one_model_reruns_that_models_runs(edited: Pipeline) -> None:
    config = edited.folder / "config/tiny.yaml"
    replace(config, "    sample:", "    overrides: {mamba: {learning_rate: 2.0e-3}}\n    sample:")
    assert edited.jobs() == {"train": 2, "evaluate": 2, "resolve": 1, **DOWNSTREAM}


def test_editing_a_mixers_code_reruns_that_mixers_runs(edited: Pipeline) -> None:
    line = "linear(low, self.dt_proj.weight)"
    replace(edited.folder / "src/seqscale/mixers/mamba.py", line, f"{line} + 0.0")
    runs = asked(edited, model=with_mamba(edited))
    assert runs > 5
    # 2 search runs, every seed of every model with that mixer, its benchmarks, and the scans beside other people's
    benches = asked(edited, "bench", model="mamba") + asked(edited, "bench", suite="kernels")
    jobs = {"search": 2, "choose_rate": 1, "train": runs, "evaluate": runs, "bench": benches}
    assert edited.jobs() == {**jobs, **DOWNSTREAM}


def test_editing_the_training_loop_reruns_training_and_no_benchmark(edited: Pipeline) -> None:
    replace(edited.folder / "src/seqscale/training/loop.py", "tokens_per_step = run", "tokens_per_step = 1 * run")
    jobs = edited.jobs()
    assert jobs["train"] == asked(edited)
    assert jobs["search"] == 6
    assert "bench" not in jobs
    assert "prepare" not in jobs


def test_nothing_but_comments_and_docstrings_touched_nothing_to_do(edited: Pipeline) -> None:
    for file in ("mixers/mamba.py", "training/loop.py"):
        path = edited.folder / "src/seqscale" / file
        path.write_text(path.read_text().replace('"""', '"""Reworded. ', 1) + "\n# a comment\n")
    assert edited.jobs() == {}


def test_a_new_title_redraws_and_trains_nothing(edited: Pipeline) -> None:
    replace(edited.folder / "config/models.yaml", "title: Mamba", "title: Mamba, the first")
    assert edited.jobs() == {"resolve": 1, **DOWNSTREAM}


def test_claims_rerun_verdicts_and_what_is_drawn_from_them(edited: Pipeline) -> None:
    path = edited.folder / "config/claims.yaml"
    path.write_text(path.read_text() + "\n# a word\n")
    assert edited.jobs() == {"verdicts": 1, "digest": 1, "figures": 1, "report": 1}


def test_one_more_seed_trains_one_run_per_model(edited: Pipeline) -> None:
    replace(edited.folder / "config/tiny.yaml", "seeds: [1, 2]", "seeds: [1, 2, 3]")
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


def test_nothing_runs_beside_a_measurement_of_time(finished: Pipeline) -> None:
    """Snakemake's own records: no job of the DAG overlaps a benchmark's time, other than counting operations."""
    records = {}
    for file in (finished.folder / ".snakemake/metadata").rglob("*"):
        if file.is_file():
            record = json.loads(file.read_text())
            records[record["starttime"], record["endtime"], record["rule"], record.get("shellcmd")] = record
    spans = sorted(records, key=lambda key: key[:2])
    timed = [span for span in spans if span[2] == "bench" and "--suite flops" not in str(span[3])]
    assert len(timed) > 8
    assert len(spans) > 2 * len(timed)
    for began, ended, _, command in timed:
        # a record's end is taken when Snakemake notices it: a few milliseconds after the next may have been started
        beside = [s for s in spans if s[3] != command and s[0] < ended - 0.2 and s[1] > began + 0.2]
        assert not beside, f"{command} ran beside {beside[0]}"


def test_one_claim_needs_its_own_jobs_and_no_others(finished: Pipeline) -> None:
    target = "results/claims/001.scaling.csv"
    jobs = finished.jobs("--forceall", target)
    # prefill of Mamba and of the Transformer, and the source's own model by its own clock
    assert jobs == {"resolve": 1, "bench": 3, "claim": 1}
    done = finished.run(target)
    assert done.returncode == 0, done.stderr
    alone = pd.read_csv(finished.folder / target)
    whole = pd.read_csv(finished.folder / "results/verdicts.csv")
    whole = whole[whole["claim"] == "001.scaling"].reset_index(drop=True)
    pd.testing.assert_frame_equal(alone[["part", "protocol", "verdict", "measured"]],
                                  whole[["part", "protocol", "verdict", "measured"]])  # fmt: skip
    shutil.rmtree(finished.folder / "results/claims")


def test_an_unknown_claim_is_told_with_those_that_there_are(finished: Pipeline) -> None:
    done = finished.run("results/claims/001.skaling.csv", "-n")
    assert done.returncode != 0
    assert "001.scaling" in done.stdout + done.stderr
    assert not (finished.folder / "results/claims").exists()
