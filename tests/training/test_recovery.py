"""kill -9 for real: training in processes of its own, killed where it hurts, ends where an undisturbed one ends."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from finished_runs import same, weights

from seqscale.data import open_dataset
from seqscale.models import ModelSpec, build
from seqscale.training import evaluate_split, train

MakeRun = Callable[..., dict[str, Any]]

DRIVER = """
import csv, json, logging, os, pathlib, signal, sys, time
import seqscale.training.checkpoint as checkpoint
from seqscale.training import train
from seqscale.training.loop import _Run

job = json.loads(sys.argv[1])
logging.basicConfig(level="INFO")
where, number = (job["kill"] or "nowhere:0").split(":")
number = int(number)

def die():
    os.kill(os.getpid(), signal.SIGKILL)

step = _Run._step
def counted_step(self, index):
    if where == "hold" and index == number:  # stay in this step until told to go on
        while not pathlib.Path(job["go"]).exists():
            time.sleep(0.01)
    result = step(self, index)
    if where == "step" and index + 1 == number:
        die()
    return result
_Run._step = counted_step

saves = 0
save_file = checkpoint.save_file
def counted_save(tensors, path, metadata):
    global saves
    saves += 1
    if where == "before-write" and saves == number:
        die()
    save_file(tensors, path, metadata=metadata)
    if where == "half-written" and saves == number:
        data = pathlib.Path(path).read_bytes()
        pathlib.Path(path).write_bytes(data[: len(data) // 2])
        die()
    if where == "before-rename" and saves == number:
        die()
checkpoint.save_file = counted_save

class Writer(csv.DictWriter):
    def writerows(self, rows):
        super().writerows(rows)
        if where == "resuming":
            die()
csv.DictWriter = Writer

train(job["run"], job["data"], job["work"], job["out"])
assert "torch._dynamo" not in sys.modules, "training imports the compiler: more than a second of every process"
"""


@pytest.fixture
def start(root: Path, data_folder: Path, tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    def start(run: dict[str, Any], work: str, out: str, kill: str | None = None) -> subprocess.Popen[str]:
        folders = {"data": str(data_folder), "work": str(tmp_path / work), "out": str(tmp_path / out)}
        job = {"run": run, "kill": kill, "go": str(tmp_path / "go"), **folders}
        environment = {**os.environ, "PYTHONPATH": str(root / "src"), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-c", DRIVER, json.dumps(job)]
        return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)

    return start


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, words = process.communicate(timeout=120)
    return process.returncode, words


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def loss_on_test_split(run: dict[str, Any], data_folder: Path, out: Path) -> float:
    data = open_dataset(data_folder)
    model = build(ModelSpec.from_dict(run["model"]), data.vocab_size, run["context"])
    model.load_state_dict(weights(out))
    return evaluate_split(model, data, "test", run["context"], torch.device("cpu"), "float32")["loss"]


@pytest.mark.timeout(180)
def test_killed_again_and_again(
    start: Callable[..., subprocess.Popen[str]], make_run: MakeRun, data_folder: Path, tmp_path: Path
) -> None:
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
        code, words = finish(start(run, "work", "killed", kill))
        assert code == -signal.SIGKILL, f"{kill}: {words}"
        assert (f"resuming after step {resumed} of 20" in words) == (resumed > 0), f"{kill}: {words}"
        assert not (tmp_path / "killed" / "summary.json").exists()
    code, words = finish(start(run, "work", "killed"))
    assert code == 0
    assert "resuming after step 20 of 20" in words
    assert same(tmp_path / "undisturbed", tmp_path / "killed")
    one, other = (loss_on_test_split(run, data_folder, tmp_path / name) for name in ("undisturbed", "killed"))
    assert one.hex() == other.hex()


@pytest.mark.timeout(180)
def test_two_at_once_and_the_first_killed(
    start: Callable[..., subprocess.Popen[str]], make_run: MakeRun, data_folder: Path, tmp_path: Path
) -> None:
    """After a kill of Snakemake alone a training job lives on; the next one waits for it, whatever becomes of it."""
    run = make_run("transformer", spec={"dropout": 0.1})
    train(run, data_folder, tmp_path / "work0", tmp_path / "undisturbed")

    first = start(run, "work", "results", "hold:10")
    wait_for((tmp_path / "work" / "checkpoint.previous.safetensors").exists)
    second, third = start(run, "work", "results"), start(run, "work", "results")
    for process in (second, third):
        assert process.stderr is not None
        line = process.stderr.readline()
        assert f"waiting: process {first.pid} is still training this run" in line
    first.kill()
    assert finish(first)[0] == -signal.SIGKILL
    ends = [finish(process) for process in (second, third)]
    assert [code for code, _ in ends] == [0, 0]
    resumed = sorted(words.split("resuming after ")[1].split(" of")[0] for _, words in ends)
    assert resumed == ["step 20", "step 8"], "one goes on from the checkpoint, the other finds all done"
    assert same(tmp_path / "undisturbed", tmp_path / "results")


@pytest.mark.timeout(180)
def test_two_at_once_undisturbed(
    start: Callable[..., subprocess.Popen[str]], make_run: MakeRun, tmp_path: Path
) -> None:
    run = make_run("lti_ssm")
    first = start(run, "work", "one", "hold:10")
    wait_for((tmp_path / "work" / "checkpoint.previous.safetensors").exists)
    second = start(run, "work", "two")
    assert second.stderr is not None
    assert "waiting" in second.stderr.readline()
    (tmp_path / "go").touch()
    assert [finish(process)[0] for process in (first, second)] == [0, 0]
    assert same(tmp_path / "one", tmp_path / "two")
