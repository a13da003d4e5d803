"""The analyses from their settings to the table that claims read."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from seqscale.analyses import NAMES, get, nplr_kernel
from seqscale.analyses.row import COLUMNS
from seqscale.data import prepare
from seqscale.tables import COLUMNS as TABLE_COLUMNS
from seqscale.tables import TablesError, collect, load_matrix
from seqscale.training import train

SCRIPT = Path(__file__).resolve().parents[2] / "src/analyse.py"
SPEC = importlib.util.spec_from_file_location("analyse_script", SCRIPT)
assert SPEC is not None
assert SPEC.loader is not None
script = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(script)

SETTINGS: dict[str, dict[str, Any]] = {
    "hippo_memory": {"length": 300, "waves": 2, "d_state": [4, 16], "signals": 3, "windows": [1.0, 0.5], "seed": 0},
    "nplr_kernel": {
        "d_state": [4, 64],
        "channels": 3,
        "lengths": [16, 64],
        "repeats": 3,
        "min_seconds": 0.001,
        "seed": 0,
    },
    "scipy_response": {"length": 40, "channels": 3},
}


def frame(name: str, runs: list[Path] | None = None, data: str | None = None) -> pd.DataFrame:
    config = {"settings": SETTINGS[name], "device": "cpu", "threads": 1}
    return pd.DataFrame(list(get(name)(config, runs or [], data)), columns=list(COLUMNS))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], str]:
    """Two tiny time-invariant models, trained for two steps, and their data."""
    root = tmp_path_factory.mktemp("trained")
    spec = {"kind": "delayed_copying", "delay": 4, "n_data": 2, "vocab": 3, "valid_examples": 4, "test_examples": 4}
    prepare("it", spec, root / "data", None)
    folders = []
    for name in ("lti_ssm", "s4"):
        optimizer = {"learning_rate": 1e-2, "weight_decay": 0.1, "betas": [0.9, 0.95], "warmup_fraction": 0.1}
        run = {
            "experiment": "copying",
            "seed": 1,
            "protocol": "fair",
            "dataset": "it",
            "context": 8,
            "batch": 2,
            "steps": 2,
            "eval_every": 2,
            "log_every": 1,
            "checkpoint_every": 2,
            "search": None,
            "device": "cpu",
            "threads": 1,
            "precision": "float32",
            "model": {"name": name, "mixer": name, "d_model": 4, "n_layers": 2, "mixer_options": {"d_state": 4}},
            "optimizer": {**optimizer, "final_fraction": 0.1, "clip": 1.0},
        }
        folders.append(root / name)
        train(run, root / "data", root / f"work_{name}", folders[-1])
    return folders, str(root / "data")


def test_hippo_memory_has_a_row_for_every_measure_size_and_window() -> None:
    rows = frame("hippo_memory")
    errors = rows[rows["quantity"] == "error"]
    assert len(errors) == 2 * (1 + 1 + 3 * 2)  # the best polynomial, LegS, and three systems with two windows
    by_size = errors[errors["model"] == "legs"].set_index("d_state")["median"]
    assert by_size[16] < 0.1 < by_size[4]
    best = errors[errors["model"] == "best_polynomial"].set_index("d_state")["median"]
    assert (best <= by_size + 1e-9).all(), "nothing recalls more than the best fit"
    assert (rows["repeats"] == 3).all()
    assert (rows["p20"] <= rows["median"]).all()


def test_kernels_agree_but_for_the_unstable_way() -> None:
    rows = frame("nplr_kernel")
    errors = rows[rows["quantity"] == "error"].set_index(["model", "d_state", "length"])["median"]
    for way in ("nplr", "dense", "power_series"):
        assert (errors[way] < 1e-4).all(), way
    assert (errors["diagonalised"][4] < 1e-9).all(), "small systems can be diagonalised"
    assert not (errors["diagonalised"][64] < 1e-2).any(), "large ones cannot (S4, lemma 3.2)"
    times = rows[rows["quantity"] == "time"]
    assert set(times["model"]) == {"nplr", "dense", "power_series"}
    assert (times["median"] > 0).all()


def test_the_power_series_is_the_definition() -> None:
    A, B, C = torch.tensor([[[0.5, 0.0], [0.0, -0.25]]]), torch.tensor([[1.0, 1.0]]), torch.tensor([[2.0, 4.0]])
    assert nplr_kernel.power_series(A, B, C, 3).tolist() == [[6.0, 0.0, 0.75]]


def test_trained_channels_answer_as_scipy_does(trained: tuple[list[Path], str]) -> None:
    rows = frame("scipy_response", *trained)
    assert list(rows["model"]) == ["lti_ssm", "s4"]
    assert (rows["median"] < 1e-5).all()
    assert (rows["p80"] < 1e-4).all()
    assert (rows["repeats"] == 2 * 3).all(), "three channels of each layer"
    assert set(rows["experiment"]) == {"copying"}
    with pytest.raises(ValueError, match="scipy_response needs --runs"):
        frame("scipy_response")


def test_unknown_analysis() -> None:
    with pytest.raises(ValueError, match="unknown analysis 'hippo'; choose from hippo_memory"):
        get("hippo")


def test_from_the_script_to_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = json.dumps({"settings": SETTINGS["nplr_kernel"], "device": "cpu", "threads": 1})
    out = tmp_path / "analyses" / "nplr_kernel"
    monkeypatch.setattr("sys.argv", ["analyse.py", "--name", "nplr_kernel", "--config", config, "--out", str(out)])
    script.work()
    matrix = tmp_path / "matrix.json"
    matrix.write_text(json.dumps({"analyses": [{"name": "nplr_kernel"}]}))
    table = collect(tmp_path, load_matrix(matrix))["analyses"]
    assert list(table.columns) == list(TABLE_COLUMNS["analyses"])
    assert set(table["status"]) <= {"ok", "overflow"}
    lost = table[table["status"] == "overflow"]
    assert lost["median"].isna().all()
    assert set(lost["model"]) <= {"diagonalised"}
    assert json.loads(out.with_suffix(".json").read_text())["provenance"]["packages"]

    matrix.write_text(json.dumps({"analyses": [{"name": "nplr_kernel"}, {"name": "hippo_memory"}]}))
    with pytest.raises(TablesError, match=r"hippo_memory\.csv: no such file"):
        collect(tmp_path, load_matrix(matrix))
    there = collect(tmp_path, load_matrix(matrix), allow_missing=True)["analyses"]
    assert there[there["suite"] == "hippo_memory"]["status"].tolist() == ["missing"]

    out.with_name("hippo_memory.csv").write_text(out.with_suffix(".csv").read_text())
    with pytest.raises(TablesError, match="line 2: suite is 'nplr_kernel', not 'hippo_memory'"):
        collect(tmp_path, load_matrix(matrix))


def test_columns_of_a_file_are_those_of_the_table() -> None:
    assert set(COLUMNS) | {"status", "reason"} == set(TABLE_COLUMNS["analyses"])
    assert set(SETTINGS) == set(NAMES)
