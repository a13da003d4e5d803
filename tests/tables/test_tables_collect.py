"""Result files into tables: what is there, what failed, what is missing, what is broken."""

import importlib.util
import json
import math
from pathlib import Path

import pandas as pd
import pytest

from seqscale.tables import COLUMNS, TABLES, TablesError, collect, load_matrix, write_tables

# By its path: `import tables` could find another module of that name.
SPEC = importlib.util.spec_from_file_location("tables_script", Path(__file__).resolve().parents[2] / "src/tables.py")
script = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(script)


def gather(results: Path, **options: bool) -> dict[str, pd.DataFrame]:
    return collect(results, load_matrix(results / "matrix.json"), **options)


def edit_json(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_runs_hold_what_the_files_say(results):
    runs = gather(results)["runs"].set_index(["model", "seed"])
    row = runs.loc[("mamba", 2)]
    assert row["test_loss"] == pytest.approx(3.8) and row["protocol"] == "fair" and row["dataset"] == "pydoc_topics"
    assert row["lr"] == 0.003 and bool(row["lr_at_edge"]) and not bool(runs.loc[("transformer", 1)]["lr_at_edge"])
    assert row["params_ratio"] == pytest.approx(1.02) and bool(row["matched"])
    assert math.isnan(row["test_accuracy"]) and row["status"] == "ok" and row["device"] == "cpu"


def test_runs_say_whose_weights_were_evaluated_and_how_steps_were_made(results):
    path = results / "runs/text/mamba/seed2/summary.json"
    edit_json(path, chosen_step=200, provenance={"device": "cuda", "cuda_graph": False})
    runs = gather(results)["runs"].set_index(["model", "seed"])
    row, silent = runs.loc[("mamba", 2)], runs.loc[("mamba", 1)]
    assert row["chosen_step"] == 200 and row["steps"] == 300 and not row["cuda_graph"]
    assert pd.isna(silent["chosen_step"]) and pd.isna(silent["cuda_graph"])


def test_sizes_more_than_five_percent_apart_are_not_matched(results):
    for seed in (1, 2):
        edit_json(results / f"runs/text/mamba/seed{seed}/summary.json", params_nonembedding=106_000)
    runs = gather(results)["runs"].set_index(["model", "seed"])
    assert not bool(runs.loc[("mamba", 1)]["matched"]) and bool(runs.loc[("transformer", 1)]["matched"])


def test_search_marks_the_chosen_rate(results):
    search = gather(results)["search"]
    chosen = search[search["chosen"].astype(bool)]
    assert len(search) == 4 and list(chosen["lr"]) == [0.003, 0.003]
    assert list(chosen["at_edge"]) == [True, False] and set(search["seed"]) == {0}


def test_scaling_recovers_the_exponents_and_names_what_ran_out_of_memory(results):
    scaling = gather(results)["scaling"].set_index("model")
    assert scaling.loc["mamba", "exponent"] == pytest.approx(1.0)
    assert scaling.loc["transformer", "exponent"] == pytest.approx(2.0)
    assert scaling.loc["transformer", "length_max"] == 1024 and scaling.loc["transformer", "oom_lengths"] == "2048"
    assert scaling.loc["transformer", "length_min"] == 128 and scaling.loc["transformer", "points"] == 4


def test_a_curve_of_two_points_is_a_row_with_a_reason(results):
    path = results / "bench/prefill/mamba.csv"
    path.write_text("\n".join(path.read_text().splitlines()[:3]) + "\n")
    row = gather(results)["scaling"].set_index("model").loc["mamba"]
    assert math.isnan(row["exponent"]) and "at least 3 lengths" in row["reason"] and row["points"] == 2


def test_history_and_samples_keep_their_rows(results):
    tables = gather(results)
    assert len(tables["history"]) == 8 and list(tables["history"].columns) == list(COLUMNS["history"])
    assert tables["history"]["valid_loss"].notna().sum() == 4
    assert set(tables["samples"]["text"]) == {'The "end",\nof it'}


def test_a_diverged_run_is_a_row_with_its_reason_and_no_loss(results):
    folder = results / "runs/text/mamba/seed2"
    edit_json(folder / "summary.json", status="diverged", reason="loss was NaN at step 7")
    edit_json(folder / "metrics.json", status="diverged", valid=None, test=None, sample=None)
    row = gather(results)["runs"].set_index(["model", "seed"]).loc[("mamba", 2)]
    assert row["status"] == "diverged" and row["reason"] == "loss was NaN at step 7" and math.isnan(row["test_loss"])


def test_csv_and_parquet_hold_the_same(results, tmp_path):
    tables = gather(results)
    write_tables(tmp_path / "out", tables)
    for name in TABLES:
        csv, parquet = (pd.read_csv(tmp_path / f"out/{name}.csv"), pd.read_parquet(tmp_path / f"out/{name}.parquet"))
        assert list(csv.columns) == list(parquet.columns) == list(COLUMNS[name])
        assert len(csv) == len(parquet) == len(tables[name])


def test_an_empty_matrix_gives_empty_tables_with_all_columns(results):
    (results / "matrix.json").write_text("{}")
    tables = gather(results)
    assert {name: list(table.columns) for name, table in tables.items()} == {n: list(c) for n, c in COLUMNS.items()}
    assert all(table.empty for table in tables.values())


def test_what_the_matrix_does_not_name_is_left_out(results):
    matrix = json.loads((results / "matrix.json").read_text())
    matrix["runs"] = [run for run in matrix["runs"] if run["seed"] == 1]
    (results / "matrix.json").write_text(json.dumps(matrix))
    assert set(gather(results)["runs"]["seed"]) == {1}


def test_absent_files_are_all_named_at_once(results):
    (results / "runs/text/mamba/seed1/metrics.json").unlink()
    (results / "bench/prefill/mamba.csv").unlink()
    (results / "search/text/mamba/best.json").unlink()
    with pytest.raises(TablesError) as error:
        gather(results)
    assert len(error.value.problems) == 3
    assert "seed1/metrics.json: no such file" in str(error.value) and "best.json" in str(error.value)


def test_allowed_absences_become_rows_with_status_missing(results):
    (results / "runs/text/mamba/seed1/metrics.json").unlink()
    (results / "bench/prefill/mamba.csv").unlink()
    (results / "search/text/mamba/lr0.001/summary.json").unlink()
    tables = gather(results, allow_missing=True)
    row = tables["runs"].set_index(["model", "seed"]).loc[("mamba", 1)]
    assert row["status"] == "missing" and "metrics.json" in row["reason"]
    bench = tables["bench"]
    assert list(bench.loc[bench["model"] == "mamba", "status"]) == ["missing"]
    assert list(tables["scaling"]["model"]) == ["transformer"]
    assert list(tables["search"].loc[tables["search"]["status"] == "missing", "lr"]) == [0.001]


@pytest.mark.parametrize(
    ("file", "content", "match"),
    [
        ("runs/text/mamba/seed1/summary.json", "{", r"summary\.json is not valid JSON"),
        ("runs/text/mamba/seed1/summary.json", "{}", r"summary\.json: lacks config, status"),
        ("runs/text/mamba/seed1/metrics.json", "[]", r"metrics\.json: holds list"),
        (
            "runs/text/mamba/seed1/metrics.json",
            '{"status": "ok", "valid": {"loss": 1.0}, "test": {"loss": null}}',
            "says ok but has no finite test loss",
        ),
        (
            "runs/text/mamba/seed1/metrics.json",
            '{"status": "fine", "valid": null, "test": null}',
            "status 'fine'; allowed: ok, diverged",
        ),
        ("runs/text/mamba/seed1/history.csv", "step,tokens\n", "lacks the column flops"),
        ("runs/text/mamba/seed1/history.csv", "", r"history\.csv: cannot be read as CSV"),
        ("bench/prefill/mamba.csv", "suite,model\n", "lacks the column implementation"),
    ],
)
def test_broken_files_are_refused_even_where_absent_ones_are_allowed(results, file, content, match):
    (results / file).write_text(content)
    with pytest.raises(TablesError, match=match):
        gather(results, allow_missing=True)


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("0.000128,", "fast,", "a column of numbers holds something else"),
        ("0.000128,", ",", "line 2: median is missing"),
        ("prefill,mamba,eager,cpu,float32,1,128", "decode,mamba,eager,cpu,float32,1,128", "line 2: suite is 'decode'"),
        ("1,128,", "1,0,", "line 2: length is missing or impossible"),
    ],
)
def test_broken_benchmark_lines_are_named(results, old, new, match):
    path = results / "bench/prefill/mamba.csv"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(TablesError, match=match):
        gather(results)


def test_a_run_copied_into_another_place_is_found_out(results):
    source = results / "runs/text/mamba/seed1/summary.json"
    (results / "runs/text/mamba/seed2/summary.json").write_text(source.read_text())
    with pytest.raises(TablesError, match="is of text/mamba/seed1"):
        gather(results)


@pytest.mark.parametrize(
    ("matrix", "match"),
    [
        ('{"run": []}', "unknown key 'run'. Did you mean 'runs'"),
        ('{"runs": {}}', "runs: is dict; it is a list"),
        ('{"runs": [{"experiment": "text"}]}', r"runs\[0\]: .* keys are exactly experiment, model, seed"),
        ('{"runs": [{"experiment": "text", "model": "mamba", "seed": "1"}]}', "seed: is '1', not int"),
        ('{"search": [{"experiment": "text", "model": "mamba", "lr": 0.1}]}', "lr: is 0.1, not str"),
        ('{"bench": [{"suite": "a", "model": "b"}, {"suite": "a", "model": "b"}]}', "is there twice"),
        ("[]", "it is an object"),
    ],
)
def test_bad_matrices_are_refused(results, matrix, match):
    (results / "matrix.json").write_text(matrix)
    with pytest.raises(TablesError, match=match):
        load_matrix(results / "matrix.json")


def test_script_writes_tables_and_tells_of_failed_runs(results, tmp_path, capsys):
    (results / "runs/text/mamba/seed1/summary.json").unlink()
    arguments = ["--results", str(results), "--config", str(results / "matrix.json"), "--out", str(tmp_path / "out")]
    assert script.main(arguments) == 2
    assert "no such file" in capsys.readouterr().err and not (tmp_path / "out").exists()
    assert script.main([*arguments, "--allow-missing"]) == 0
    assert "text/mamba/seed1: missing" in capsys.readouterr().out
    assert (tmp_path / "out/scaling.parquet").is_file()


def test_lengths_beyond_the_trained_one_are_rows_of_extrapolation(results):
    assert gather(results)["extrapolation"].empty, "most tasks are tested at their own length alone"
    lengths = [
        {"length": 128, "status": "ok", "reason": "", "accuracy": 0.75, "loss": 0.5, "tokens": 64},
        {"length": 4096, "status": "out of range", "reason": "the model has 128 learned positions"},
    ]
    edit_json(results / "runs/text/mamba/seed2/metrics.json", lengths=lengths)
    table = gather(results)["extrapolation"]
    assert list(table["length"]) == [128, 4096] and set(table["train_length"]) == {128}
    assert table.iloc[0]["accuracy"] == 0.75 and table.iloc[0]["answers"] == 64 and table.iloc[0]["seed"] == 2
    assert math.isnan(table.iloc[1]["accuracy"]) and table.iloc[1]["status"] == "out of range"
