"""Tables of whatever is there: absent and broken files cost their own rows and no others."""

import json
from pathlib import Path

import pytest

from seqscale.tables import Matrix, TablesError, collect
from seqscale.tables.matrix import BenchKey, RunKey
from seqscale.tables.salvage import salvage


def write_run(results: Path, key: RunKey, loss: float) -> None:
    folder = key.folder(results)
    folder.mkdir(parents=True)
    config = {"experiment": key.experiment, "model": {"name": key.model, "mixer": "linear"}, "seed": key.seed}
    summary = {"config": config, "status": "ok", "params": 10, "params_nonembedding": 5}
    metrics = {"status": "ok", "valid": {"loss": loss}, "test": {"loss": loss}}
    (folder / "summary.json").write_text(json.dumps(summary))
    (folder / "metrics.json").write_text(json.dumps(metrics))
    names = "step,tokens,flops,seconds,learning_rate,train_loss,valid_loss,grad_norm"
    (folder / "history.csv").write_text(f"{names}\n1,8,1.0,0.1,0.01,{loss},{loss},1.0\n")


@pytest.fixture
def matrix(tmp_path: Path) -> Matrix:
    """Four runs of which one is absent and one broken, and a benchmark with a broken file."""
    keys = tuple(RunKey("text", "linear", seed) for seed in (1, 2, 3, 4))
    for key in keys[:3]:
        write_run(tmp_path, key, 1.0 + key.seed)
    (keys[1].folder(tmp_path) / "metrics.json").write_text('{"status": "ok", "val')
    bench = BenchKey("prefill", "linear")
    bench.file(tmp_path).parent.mkdir(parents=True)
    bench.file(tmp_path).write_text("not,a,bench\n1,2,3\n")
    return Matrix(keys, (), (bench,))


def test_broken_files_are_named_and_cost_only_their_own_rows(matrix: Matrix, tmp_path: Path) -> None:
    with pytest.raises(TablesError):
        collect(tmp_path, matrix, allow_missing=True)
    tables, told = salvage(tmp_path, matrix)
    runs = tables["runs"].set_index("seed")
    assert runs["status"].to_dict() == {1: "ok", 3: "ok", 4: "missing"}
    assert runs.loc[3, "test_loss"] == 4.0
    assert tables["bench"].empty
    assert any("seed2/metrics.json" in line for line in told)
    assert any("prefill/linear.csv" in line for line in told)
    assert len(told) == 2


def test_without_a_broken_file_it_is_collect(matrix: Matrix, tmp_path: Path) -> None:
    sound = Matrix((matrix.runs[0], matrix.runs[2]), (), ())
    tables, told = salvage(tmp_path, sound)
    assert told == []
    assert tables["runs"].equals(collect(tmp_path, sound)["runs"])
