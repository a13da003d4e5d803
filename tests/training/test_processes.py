"""Several processes train what one process trains: the same losses within 1e-5, whoever goes on with it."""

import csv
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from apart import Apart
from finished_runs import same, weights

from seqscale.data.batches import Batch
from seqscale.files import read_json
from seqscale.training import train
from seqscale.training.loop import _Run
from seqscale.training.processes import Team

MakeRun = Callable[..., dict[str, Any]]
RELATIVE = 1e-5  # float32 sums in another order, over a run of 20 steps


def train_in_a_team(die: int | None, full: int | None, *arguments: Any) -> None:
    """Train as one of several processes; killed before step `die`, the second out of memory before step `full`."""
    step = _Run._step

    def counted_step(self: _Run, index: int) -> tuple[float, float]:
        if index == die:
            os.kill(os.getpid(), signal.SIGKILL)
        if index == full and self.team.rank == 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return step(self, index)

    _Run._step = counted_step  # type: ignore[method-assign]
    train(*arguments)


def together(
    run: dict[str, Any], data: Path, folder: Path, die: int | None = None, full: int | None = None
) -> list[int]:
    """Train in two processes, as torchrun would, in `folder`/work to `folder`/out; exit statuses."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder.mkdir(exist_ok=True)
    base = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    arguments = (die, full, run, data, folder / "work", folder / "out")
    processes = [
        Apart(
            train_in_a_team, *arguments, said=folder / f"said{rank}",
            environment={**base, "RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(2)
    ]  # fmt: skip
    try:
        return [process.finish()[0] for process in processes]
    finally:
        for process in processes:
            process.kill()


def losses(out: Path) -> list[tuple[float, float]]:
    """(training, validation) losses along the way; not a number where none was taken."""
    with open(out / "history.csv", newline="") as handle:
        return [(float(r["train_loss"]), float(r["valid_loss"] or "nan")) for r in csv.DictReader(handle)]


def assert_close(one: Path, other: Path) -> None:
    np.testing.assert_allclose(losses(one), losses(other), rtol=RELATIVE)
    assert read_json(one / "summary.json")["steps_done"] == read_json(other / "summary.json")["steps_done"]
    a, b = weights(one), weights(other)
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=1e-3, atol=1e-4)  # Adam's first steps magnify the last bits


@pytest.fixture
def alone(make_run: MakeRun, data_folder: Path, tmp_path: Path) -> tuple[dict[str, Any], Path]:
    """A run with five rows a batch, so that two processes have unequal shares, and its result from one process."""
    run = make_run("mamba", batch=5)
    train(run, data_folder, tmp_path / "work-alone", tmp_path / "alone")
    return run, tmp_path / "alone"


def test_two_processes_by_one_key_of_the_config(
    alone: tuple[dict[str, Any], Path], root: Path, data_folder: Path, tmp_path: Path
) -> None:
    run, expected = alone
    folders = ["--data", str(data_folder), "--work", str(tmp_path / "work"), "--out", str(tmp_path / "two")]
    config = json.dumps({**run, "processes": 2, "accumulate": 2})
    done = subprocess.run(
        [sys.executable, str(root / "src/train.py"), "--config", config, *folders],
        env={**os.environ, "PYTHONPATH": str(root / "src"), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert_close(expected, tmp_path / "two")
    assert read_json(tmp_path / "two/summary.json")["provenance"]["processes"] == 2
    assert done.stderr.count("step 20 of 20") == 1, "one process speaks for all"


@pytest.mark.parametrize("pieces", [2, 5])
def test_accumulated_gradients_are_the_batchs(
    alone: tuple[dict[str, Any], Path], data_folder: Path, tmp_path: Path, pieces: int
) -> None:
    run, expected = alone
    train({**run, "accumulate": pieces}, data_folder, tmp_path / "work", tmp_path / "out")
    assert_close(expected, tmp_path / "out")


def test_killed_with_two_processes_and_finished_with_one(
    alone: tuple[dict[str, Any], Path], data_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run, expected = alone
    assert together({**run, "processes": 2}, data_folder, tmp_path / "two", die=10) == [-signal.SIGKILL] * 2
    with caplog.at_level("INFO"):
        train(run, data_folder, tmp_path / "two/work", tmp_path / "two/out")
    assert "resuming after step 8 of 20" in caplog.text
    assert_close(expected, tmp_path / "two/out")


def test_two_processes_give_the_same_bits_twice_and_across_a_kill(
    make_run: MakeRun, data_folder: Path, tmp_path: Path
) -> None:
    """Also with dropout, whose random numbers are drawn anew for each step and process."""
    run = make_run("transformer", spec={"dropout": 0.1})
    assert together(run, data_folder, tmp_path / "undisturbed") == [0, 0]
    assert together(run, data_folder, tmp_path / "killed", die=10) == [-signal.SIGKILL] * 2
    assert together(run, data_folder, tmp_path / "killed") == [0, 0]
    assert same(tmp_path / "undisturbed/out", tmp_path / "killed/out")


def test_one_of_two_out_of_memory_is_a_result(make_run: MakeRun, data_folder: Path, tmp_path: Path) -> None:
    """The launcher finds the note that the process left, and writes the results of the last checkpoint."""
    run, work, out = make_run("linear"), tmp_path / "full/work", tmp_path / "full/out"
    assert all(code != 0 for code in together(run, data_folder, tmp_path / "full", full=10))
    note = (work / "out_of_memory.txt").read_text()
    summary = train(run, data_folder, work, out, failure=note)
    assert (summary["status"], summary["steps_done"]) == ("out of memory", 8)
    assert "2 GiB" in read_json(out / "summary.json")["reason"]


def test_shares_are_disjoint_and_complete() -> None:
    batch = Batch(np.arange(14).reshape(7, 2), np.arange(14).reshape(7, 2) + 1)
    pieces = [piece for rank in range(3) for piece in Team(rank, 3).parts(batch, 2)]
    assert len(pieces) == 6
    np.testing.assert_array_equal(np.concatenate([p.inputs for p in pieces]), batch.inputs)
    np.testing.assert_array_equal(np.concatenate([p.targets for p in pieces]), batch.targets)
    with pytest.raises(ValueError, match="batch of 7 cannot be shared by 4 processes in 2 pieces"):
        Team(0, 4).parts(batch, 2)
