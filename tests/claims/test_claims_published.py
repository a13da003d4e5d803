"""config/claims.yaml holds every claim, with the figures as they were published, and is judged whole."""

import csv
import importlib.util
import json
import subprocess
import sys

import pytest
from made_up_claims import CLAIMS, ROOT, SCHEMA, curve_rows, run_row

from seqscale.claims import COLUMNS, judge, load_claims
from seqscale.tables import write_tables
from seqscale.tables.columns import as_table

SPEC = importlib.util.spec_from_file_location("verdicts_script", ROOT / "src" / "verdicts.py")
script = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(script)

ID_LIST = """
000.loss 000.order 000.sweep.linear 000.sweep.mlp 000.sweep.attention 000.sweep.transformer 000.sweep.mamba 000.flops
000.wikitext2 000.wikitext2.train 000.ptb 000.memory 000.time
001.loss 001.speed 001.speed.long 001.scaling
002.complexity 002.memory 002.hippo 002.s4 002.scipy
003.accuracy 003.lstm 003.runtime 003.runtime.flat 003.examples 003.selectivity 003.length 003.fairness
004.time 004.linear 004.lti 004.zoh 004.selective
mamba.selective_copying mamba.induction_heads mamba.selectivity mamba.scan mamba.training_memory
"""
IDS = ID_LIST.split()


@pytest.fixture(scope="module")
def claims():
    return load_claims(CLAIMS, SCHEMA)


def test_every_claim_is_there_once_and_no_other(claims):
    assert [claim.id for claim in claims.claims] == IDS


@pytest.mark.parametrize(
    ("claim", "figures"),
    [
        ("000.loss", [1.8006, 1.8640, 2.2619, 2.5055, 2.5040]),
        ("000.sweep.linear", [2.5150, 2.5149, 2.5040, 2.5059]),
        ("000.sweep.mlp", [2.5083, 2.5055, 2.5086, 2.5062]),
        ("000.sweep.attention", [2.2965, 2.2619, 2.2958]),
        ("000.sweep.transformer", [1.9419, 1.9026, 1.8640]),
        ("000.sweep.mamba", [1.8126, 1.8006, 1.8213]),
        ("000.flops", [1.58e13, 6.00e13, 4, 6]),
        ("000.wikitext2", [5.5213, 5.6174]),
        ("000.ptb", [5.3223]),
        ("001.loss", [5.5197, 5.5302]),
        ("001.speed", [0.004, 0.007, 0.012, 0.022, 0.049, 0.005, 0.009, 0.013, 0.030, 0.087, 1.2, 1.3, 1.1, 1.4, 1.8]),
        ("001.speed.long", [0.0912, 0.1813, 0.2538, 0.9036, 2.8, 5.0]),
        ("003.accuracy", [82.32, 81.86, 81.76, 49.98]),
        ("003.lstm", [49.98]),
        ("003.runtime", [0.0068, 0.00767, 0.02704, 0.06191]),
        ("004.time", [0.1, 0.5, 1, 5, 25, 100, 0.05, 0.08, 0.1, 0.12, 0.15, 0.2]),
    ],
)
def test_figures_are_typed_exactly(claims, claim, figures):
    def numbers(value):
        if isinstance(value, dict):
            return [n for inner in value.values() for n in numbers(inner)]
        return [n for inner in value for n in numbers(inner)] if isinstance(value, list) else [value]

    found = numbers(next(c for c in claims.claims if c.id == claim).published)
    assert [figure for figure in figures if figure not in found] == []


def test_derived_figures_follow_from_the_published_ones(claims):
    data = {claim.id: claim.published for claim in claims.claims}
    for claim in ("000.loss", "000.wikitext2"):
        assert data[claim]["gap"] == pytest.approx(data[claim]["mamba"] - data[claim]["transformer"])
    time = data["004.time"]
    ratios = [t / m for t, m in zip(time["transformer"], time["mamba"], strict=True)]
    assert list(time["ratio"].values()) == pytest.approx(ratios, rel=1e-5)
    assert [int(length) for length in time["ratio"]] == time["lengths"]
    for claim in ("001.speed", "001.speed.long"):
        # Speed-ups as printed, from times as printed: .013 / .012 is 1.1 within what three decimals can say.
        pairs = zip(data[claim]["transformer_s"], data[claim]["ssm_s"], data[claim]["speedup"].values(), strict=True)
        assert all(t / m == pytest.approx(printed, rel=0.06) for t, m, printed in pairs)


def test_with_no_run_at_all_every_claim_is_not_tested_and_says_why(claims, tables):
    rows = judge(claims, tables)
    assert {row["verdict"] for row in rows} == {"not tested"}
    assert all(len(row["reason"]) > 20 and row["reason"].endswith(".") for row in rows)
    assert [row["claim"] for row in rows if row["part"] == "" and row["protocol"] == "fair"].count("000.loss") == 1
    reason = next(r["reason"] for r in rows if r["claim"] == "000.ptb" and r["part"] == "transformer")
    assert reason.startswith("No run of experiment 'published_000_ptb' in this configuration")


def quick_start():
    """Tables of the shape that the quick start makes, in which Mamba keeps what was promised."""
    loss = {"mamba": 1.8, "transformer": 1.9, "attention": 2.1, "linear": 2.5, "lti_ssm": 2.0, "lstm": 2.0, "mlp": 2.5}
    answers = {"mamba": 0.95, "transformer": 0.9, "lti_ssm": 0.4}
    runs = [run_row("text", m, s, v + 0.002 * s, train_flops=1e12) for m, v in loss.items() for s in (1, 2, 3)]
    for model, share in answers.items():
        for seed in (1, 2, 3):
            more = {"dataset": "selective_copying_small", "test_accuracy": share + 0.001 * seed}
            runs.append(run_row("selective_copying", model, seed, 1.0, **more))
    lengths = (128, 256, 512, 1024, 2048, 4096)
    bench = []
    for model, power in {"mamba": 1, "transformer": 2, "attention": 2, "lti_ssm": 1, "lstm": 1}.items():
        time = {n: 1e-6 * n**power for n in lengths}
        bench += curve_rows("prefill", model, time)
        bench += curve_rows("prefill", model, {n: t / n for n, t in time.items()}, quantity="time_per_token")
        bench += curve_rows("train_step", model, time, direction="forward+backward")
        step = {n: 1e-3 * n ** (power - 1) for n in lengths}
        bench += curve_rows("decode", model, step, direction="step", quantity="time_per_token")
        state = {n: 4096.0 * n ** (power - 1) for n in lengths}
        bench += curve_rows("memory", model, state, direction="step", quantity="state", unit="B", p20=None, p80=None)
    return {"runs": as_table("runs", runs), "bench": as_table("bench", bench)}


def test_the_quick_start_bears_the_questions_of_order_scaling_and_memory(claims, tables):
    rows = judge(claims, {**tables, **quick_start()})
    verdict = {(r["claim"], r["part"]): r for r in rows if r["protocol"] == "fair"}
    for claim in ("000.order", "000.memory", "000.time", "001.scaling", "002.complexity"):
        assert verdict[claim, ""]["verdict"] == "reproduced", verdict[claim, ""]["reason"]
    assert "not on the published tiny_shakespeare" in verdict["000.order", ""]["reason"]
    assert verdict["000.flops", "lower loss"]["verdict"] == "reproduced"
    assert verdict["000.flops", "fewer FLOPs"]["verdict"] == "not reproduced"  # equal FLOPs are not fewer
    assert verdict["002.memory", "smaller state"]["verdict"] == "reproduced"
    assert verdict["003.runtime.flat", "beyond 64 tokens"]["verdict"] == "not reproduced"
    assert verdict["004.linear", ""]["verdict"] == "inconclusive"  # linear, but only to 4,096 tokens
    assert verdict["004.selective", "copying, against LTI"]["verdict"] == "reproduced"
    assert verdict["004.selective", ""]["verdict"] == "inconclusive"  # induction heads not run
    assert verdict["000.loss", ""]["verdict"] == "not tested"
    assert {r["verdict"] for r in rows if r["protocol"] == "published"} == {"not tested"}


def test_every_judged_row_has_number_interval_count_and_evidence(claims, tables):
    judged = [r for r in judge(claims, {**tables, **quick_start()}) if r["measured"] is not None]
    assert len(judged) > 15
    for row in judged:
        assert row["ci_low"] <= row["measured"] <= row["ci_high"] and row["n"] >= 1
        assert row["evidence"].startswith("tables/") and row["method"] and row["data"] and row["expected"]


def test_script_writes_the_columns_of_the_design(tables, tmp_path, capsys):
    write_tables(tmp_path / "tables", {**tables, **quick_start()})
    arguments = ["--tables", str(tmp_path / "tables"), "--claims", str(CLAIMS), "--out", str(tmp_path)]
    assert script.main(arguments) == 0
    with open(tmp_path / "verdicts.csv", encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert tuple(rows[0]) == COLUMNS
    assert ",".join(COLUMNS[:9]) == "claim,protocol,published,measured,ci_low,ci_high,unit,verdict,reason"
    assert next(r for r in rows if r["claim"] == "000.loss" and r["part"] == "mamba")["published"] == "1.8006"
    whole = [(r["claim"], r["protocol"]) for r in rows if r["part"] == ""]
    assert len(whole) == len(set(whole)) and {claim for claim, _ in whole} == set(IDS)
    content = json.loads((tmp_path / "verdicts.json").read_text(encoding="utf-8"))
    assert len(content["verdicts"]) == len(rows) and content["count"]["reproduced"] >= 5
    assert content["published"]["004.time"]["transformer"][-1] == 100 and "mamba.scan" in content["published"]
    assert "000.order" in capsys.readouterr().out


def test_tables_are_read_from_csv_where_parquet_is_gone(tables, tmp_path):
    write_tables(tmp_path / "tables", {**tables, **quick_start()})
    arguments = ["--tables", str(tmp_path / "tables"), "--claims", str(CLAIMS), "--out"]
    assert script.main([*arguments, str(tmp_path / "a")]) == 0
    for path in (tmp_path / "tables").glob("*.parquet"):
        path.unlink()
    assert script.main([*arguments, str(tmp_path / "b")]) == 0
    assert (tmp_path / "a/verdicts.csv").read_text() == (tmp_path / "b/verdicts.csv").read_text()


def test_script_refuses_a_folder_without_tables_and_a_broken_claims_file(tmp_path, capsys):
    assert script.main(["--tables", str(tmp_path), "--claims", str(CLAIMS), "--out", str(tmp_path / "out")]) == 2
    assert "make them with src/tables.py" in capsys.readouterr().err
    (tmp_path / "claims.yaml").write_text("claims: 3\n")
    assert script.main(["--check", "--claims", str(tmp_path / "claims.yaml")]) == 2
    assert "must be array" in capsys.readouterr().err


def test_check_needs_no_tables(capsys):
    assert script.main(["--check", "--claims", str(CLAIMS)]) == 0
    assert f"{len(IDS)} claims" in capsys.readouterr().out


def test_tables_and_claims_need_no_torch():
    code = "import sys; sys.path.insert(0, sys.argv[1]); import seqscale.claims, seqscale.tables, seqscale.stats; "
    code += "sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code, str(ROOT / "src")], check=False).returncode == 0
