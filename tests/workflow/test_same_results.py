"""The comparison of two runs finds a last bit, and does not mind the clock."""

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from same_results import differences

from seqscale.tables.columns import TABLES, as_table

RUN = {"experiment": "text", "model": "mamba", "seed": 1}
ROWS: dict[str, list[dict[str, Any]]] = {
    "runs": [{**RUN, "test_loss": 1.5, "train_seconds": 3.0}],
    "history": [{**RUN, "step": 1, "seconds": 0.1, "train_loss": 2.5}],
    "bench": [
        {"suite": "flops", "model": "mamba", "quantity": "flops", "median": 100.0, "repeats": 1},
        {"suite": "prefill", "model": "mamba", "quantity": "time", "median": 0.5, "repeats": 7},
    ],
}
VERDICTS = [  # a claim about losses, one about times
    {"claim": "000.loss", "part": "mamba", "protocol": "fair", "measured": 1.5, "verdict": "inconclusive"},
    {"claim": "004.linear", "part": "", "protocol": "fair", "measured": 1.1, "verdict": "reproduced"},
]
COLUMNS = ["claim", "protocol", "part", "measured", "ci_low", "ci_high", "n", "verdict", "reason"]


def write(folder: Path, **changes: list[dict[str, Any]]) -> Path:
    (folder / "tables").mkdir(parents=True, exist_ok=True)
    for name in TABLES:
        as_table(name, {**ROWS, **changes}.get(name, [])).to_parquet(folder / f"tables/{name}.parquet")
    verdicts = pd.DataFrame(changes.get("verdicts", VERDICTS), columns=COLUMNS)
    verdicts.to_csv(folder / "verdicts.csv", index=False)
    run = folder / "runs/text/mamba/seed1"
    run.mkdir(parents=True, exist_ok=True)
    (run / "model.safetensors").write_bytes(b"weights")
    (run / "metrics.json").write_text(json.dumps({"test": {"loss": 1.5, "seconds": 2.0}, "provenance": {"time": 1}}))
    return folder


@pytest.fixture
def here(tmp_path: Path) -> Path:
    return write(tmp_path / "here")


def test_the_clock_makes_no_difference(here: Path, tmp_path: Path) -> None:
    there = write(
        tmp_path / "there",
        runs=[{**ROWS["runs"][0], "train_seconds": 9.0}],
        history=[{**ROWS["history"][0], "seconds": 9.0}],
        bench=[ROWS["bench"][0], {**ROWS["bench"][1], "median": 0.7, "repeats": 3}],
        verdicts=[VERDICTS[0], {**VERDICTS[1], "measured": 1.4, "verdict": "not reproduced"}],
    )
    found, by_time = differences(here, there)
    assert not found
    assert by_time == ["004.linear whole (fair): reproduced here, not reproduced there"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"runs": [{**ROWS["runs"][0], "test_loss": 1.5000000000000002}]}, "runs, row 1, test_loss: 1.5 here"),
        ({"history": [{**ROWS["history"][0], "train_loss": 2.4}]}, "history, row 1, train_loss"),
        ({"bench": [{**ROWS["bench"][0], "median": 101.0}, ROWS["bench"][1]]}, "bench, row 1, median"),
        ({"bench": [ROWS["bench"][0]]}, "bench: 2 rows here, 1 there"),
        ({"bench": [ROWS["bench"][0], {**ROWS["bench"][1], "oom": True}]}, "bench, row 2, oom"),
        ({"verdicts": [{**VERDICTS[0], "verdict": "reproduced"}, VERDICTS[1]]}, "verdicts, row 1, verdict"),
        ({"verdicts": VERDICTS[:1]}, "verdicts: 2 rows here, 1 there"),
    ],
)
def test_anything_else_does(here: Path, tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    found, _ = differences(here, write(tmp_path / "there", **changes))
    assert len(found) == 1
    assert words in found[0]


def test_so_do_weights_evaluations_and_missing_runs(here: Path, tmp_path: Path) -> None:
    there = write(tmp_path / "there")
    run = there / "runs/text/mamba/seed1"
    (run / "model.safetensors").write_bytes(b"Weights")
    (run / "metrics.json").write_text('{"test": {"loss": 1.6, "seconds": 5.0}}')
    assert differences(here, there)[0] == [
        "runs/text/mamba/seed1/metrics.json: differs",
        "runs/text/mamba/seed1/model.safetensors: differs",
    ]
    shutil.rmtree(run)
    assert len(differences(here, there)[0]) == 2
