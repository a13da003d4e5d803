"""src/bench.py by hand: files, exit codes and what it says about bad input."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pytest
from bench_jobs import ROOT, job

from seqscale.benchmarks import COLUMNS


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bench_script", ROOT / "src" / "bench.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_writes_rows_and_provenance_and_nothing_else(bench: ModuleType, tmp_path: Path) -> None:
    out = tmp_path / "new" / "prefill" / "lstm"
    assert bench.main(["--suite", "prefill", "--config", json.dumps(job("prefill", "lstm")), "--out", str(out)]) == 0
    assert sorted(path.name for path in out.parent.iterdir()) == ["lstm.csv", "lstm.json"]
    table = pd.read_csv(out.with_suffix(".csv"))
    assert list(table.columns) == list(COLUMNS)
    assert len(table) == 6
    beside = json.loads(out.with_suffix(".json").read_text())
    assert beside["config"] == job("prefill", "lstm")
    assert beside["provenance"]["device"] == "cpu"


def test_a_config_from_a_file_and_a_name_with_dots(bench: ModuleType, tmp_path: Path) -> None:
    config = tmp_path / "job.json"
    config.write_text(json.dumps(job("flops", "mlp")), encoding="utf-8")
    assert bench.main(["--config", f"@{config}", "--out", str(tmp_path / "v1.5")]) == 0
    assert (tmp_path / "v1.5.csv").exists()
    assert (tmp_path / "v1.5.json").exists()


def test_the_rest_may_be_left_out(bench: ModuleType, tmp_path: Path) -> None:
    short = {key: value for key, value in job("flops", "mlp").items() if key in ("model", "settings")}
    assert bench.main(["--suite", "flops", "--config", json.dumps(short), "--out", str(tmp_path / "mlp")]) == 0


def changed(path: str, value: Any) -> dict[str, Any]:
    """A job with one key set, or removed where `value` is None."""
    values = job("prefill")
    *parents, last = path.split(".")
    part = values
    for key in parents:
        part = part[key]
    if value is None:
        del part[last]
    else:
        part[last] = value
    return values


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (changed("repeat", 3), "unknown key repeat (did you mean 'repeats'?)"),
        (changed("settings.length", [8]), "unknown key settings.length (did you mean 'lengths'?)"),
        (changed("model.d_modle", 8), "unknown key model.d_modle (did you mean 'd_model'?)"),
        (changed("model.mixer", "mambo"), "unknown mixer 'mambo'"),
        (changed("model.mixer_options", {"heads": 2}), "model 'transformer' cannot be built"),
        (changed("model.mixer_options", {"n_heads": 5}), "n_heads = 5 does not divide d_model = 64"),
        (changed("settings.lengths", []), "settings.lengths must be a list of whole numbers above 0"),
        (changed("settings.lengths", [0, 8]), "settings.lengths must be a list of whole numbers above 0"),
        (changed("settings.batch", 0), "settings.batch must be a whole number above 0"),
        (changed("settings", None), "the key settings is missing"),
        (changed("model.mixer", None), "the key model.mixer is missing"),
        (changed("min_seconds", -1), "min_seconds must be a number from 0"),
        (changed("repeats", True), "repeats must be a whole number above 0"),
        (changed("device", "gpu"), "device is 'gpu'; allowed: auto, cpu, cuda"),
        (changed("precision", "half"), "precision is 'half'; allowed: auto, float32, bfloat16"),
        (changed("suite", "prefil"), "--suite says 'prefill'"),
        ([1], "must be a JSON object"),
    ],
)
def test_bad_input_is_refused(
    bench: ModuleType, values: Any, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench.main(["--suite", "prefill", "--config", json.dumps(values), "--out", str(tmp_path / "x")]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_broken_or_absent_json(bench: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main(["--config", "{\n'a': 1}", "--out", str(tmp_path / "x")]) == 2
    assert "--config, line 2: not JSON" in capsys.readouterr().err
    assert bench.main(["--config", f"@{tmp_path / 'absent.json'}", "--out", str(tmp_path / "x")]) == 2
    assert "absent.json" in capsys.readouterr().err


def test_a_wrong_count_writes_nothing(
    bench: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("seqscale.models.LanguageModel.flops", lambda *_: 7)
    assert bench.main(["--config", json.dumps(job("flops", "mlp")), "--out", str(tmp_path / "x")]) == 1
    assert "the closed form says 7" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
