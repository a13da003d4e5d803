"""kill -9 for real: training in processes of its own, killed where it hurts, ends where an undisturbed one ends."""

import csv
import itertools
import logging
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from apart import Apart, wait_for
from finished_runs import same, weights

from seqscale.data import open_dataset
from seqscale.models import ModelSpec, build
from seqscale.training import checkpoint, evaluate_split, train
from seqscale.training.loop import _Run

MakeRun = Callable[..., dict[str, Any]]


class Writer(csv.DictWriter):
    def writerows(self, rows: Any) -> None:
        super().writerows(rows)
        die()


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def train_and_die(kill: str | None, go: Path, *arguments: Any) -> None:
    """Train in this process, killed at a place ("where:number"), or stay in a step until the file `go` is there."""
    logging.basicConfig(level="INFO")
    where, _, at = (kill or "nowhere:0").partition(":")
    number, saves = int(at), 0
    step, save_file = _Run._step, checkpoint.save_file

    def counted_step(self: _Run, index: int) -> tuple[float, float]:
        if where == "hold" and index == number:
            wait_for(go.exists)
        result = step(self, index)
        if where == "step" and index + 1 == number:
            die()
        return result

    def counted_save(tensors: Any, path: Any, metadata: Any) -> None:
        nonlocal saves
        saves += 1
        if where == "before-write" and saves == number:
            die()
        save_file(tensors, path, metadata=metadata)
        if where == "half-written" and saves == number:
            data = Path(path).read_bytes()
            Path(path).write_bytes(data[: len(data) // 2])
            die()
        if where == "before-rename" and saves == number:
            die()

    _Run._step = counted_step  # type: ignore[method-assign]
    checkpoint.save_file = counted_save  # type: ignore[assignment]
    if where == "resuming":
        csv.DictWriter = Writer  # type: ignore[misc]
    train(*arguments)


Start = Callable[..., Apart]


@pytest.fixture
def start(data_folder: Path, tmp_path: Path) -> Start:
    number = itertools.count()

    def start(run: dict[str, Any], work: str, out: str, kill: str | None = None) -> Apart:
        folders = (data_folder, tmp_path / work, tmp_path / out)
        return Apart(train_and_die, kill, tmp_path / "go", run, *folders, said=tmp_path / f"said{next(number)}")

    return start


def loss_on_test_split(run: dict[str, Any], data_folder: Path, out: Path) -> float:
    data = open_dataset(data_folder)
    model = build(ModelSpec.from_dict(run["model"]), data.vocab_size, run["context"])
    model.load_state_dict(weights(out))
    return evaluate_split(model, data, "test", run["context"], torch.device("cpu"), "float32")["loss"]


def test_killed_again_and_again(start: Start, make_run: MakeRun, data_folder: Path, tmp_path: Path) -> None:
    """One run, killed in every way in turn: between checkpoints, in the middle of writing one, while resuming."""
    run = make_run("mamba", spec={"dropout": 0.1})
    train(run, data_folder, tmp_path / "work0", tmp_path / "undisturbed")
    kills = [
        ("step:3", 0),  # before the first checkpoint
        ("before-write:2", 0),  # the checkpoint of step 4 moved aside, that of step 8 not begun
        ("half-written:1", 4),
        ("before-rename:2", 4),  # step 8 is saved, step 12 written but not in its place
        ("resuming:0", 8),  # while the history is being cut back
        ("step:15", 8),
        ("half-written:3", 12),  # steps 16 and 20 are saved; the third write is that of the finished weights
    ]
    for kill, resumed in kills:
        code, words = start(run, "work", "killed", kill).finish()
        assert code == -signal.SIGKILL, f"{kill}: {words}"
        assert (f"resuming after step {resumed} of 20" in words) == (resumed > 0), f"{kill}: {words}"
        assert not (tmp_path / "killed" / "summary.json").exists()
    code, words = start(run, "work", "killed").finish()
    assert code == 0
    assert "resuming after step 20 of 20" in words
    assert same(tmp_path / "undisturbed", tmp_path / "killed")
    one, other = (loss_on_test_split(run, data_folder, tmp_path / name) for name in ("undisturbed", "killed"))
    assert one.hex() == other.hex()


def test_two_at_once_and_the_first_killed(start: Start, make_run: MakeRun, data_folder: Path, tmp_path: Path) -> None:
    """After a kill of Snakemake alone a training job lives on; the next one waits for it, whatever becomes of it."""
    run = make_run("transformer", spec={"dropout": 0.1})
    train(run, data_folder, tmp_path / "work0", tmp_path / "undisturbed")

    first = start(run, "work", "results", "hold:10")
    wait_for((tmp_path / "work" / "checkpoint.previous.safetensors").exists)
    second, third = start(run, "work", "results"), start(run, "work", "results")
    for process in (second, third):
        process.wait_until_it_says(f"waiting: process {first.pid} is still training this run")
    first.kill()
    assert first.finish()[0] == -signal.SIGKILL
    ends = [process.finish() for process in (second, third)]
    assert [code for code, _ in ends] == [0, 0]
    resumed = sorted(words.split("resuming after ")[1].split(" of")[0] for _, words in ends)
    assert resumed == ["step 20", "step 8"], "one goes on from the checkpoint, the other finds all done"
    assert same(tmp_path / "undisturbed", tmp_path / "results")


def test_two_at_once_undisturbed(start: Start, make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run("lti_ssm")
    first = start(run, "work", "one", "hold:10")
    wait_for((tmp_path / "work" / "checkpoint.previous.safetensors").exists)
    second = start(run, "work", "two")
    second.wait_until_it_says("waiting")
    (tmp_path / "go").touch()
    assert [process.finish()[0] for process in (first, second)] == [0, 0]
    assert same(tmp_path / "one", tmp_path / "two")
