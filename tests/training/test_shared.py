"""A second person's clone finds what the first has finished, takes nothing damaged and nothing of another config."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seqscale.training import train
from seqscale.training.loop import _Run

MakeRun = Callable[..., dict[str, Any]]


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[int]:
    """The steps that were really trained, with a shared folder set."""
    monkeypatch.setenv("SEQSCALE_CACHE", str(tmp_path / "shared"))
    done: list[int] = []
    step = _Run._step

    def counted(self: _Run, index: int) -> tuple[float, float]:
        done.append(index)
        return step(self, index)

    monkeypatch.setattr(_Run, "_step", counted)
    return done


def test_trained_once_for_all(make_run: MakeRun, data_folder: Path, tmp_path: Path, steps: list[int]) -> None:
    run = make_run("linear")
    train(run, data_folder, tmp_path / "a/work", tmp_path / "a/out")
    assert len(steps) == 20
    summary = train(run, data_folder, tmp_path / "b/work", tmp_path / "b/out")
    assert len(steps) == 20, "the second clone trains nothing"
    assert summary["status"] == "ok"
    for name in ("model.safetensors", "history.csv", "summary.json"):
        assert (tmp_path / "a/out" / name).read_bytes() == (tmp_path / "b/out" / name).read_bytes()
    train({**run, "seed": 2}, data_folder, tmp_path / "c/work", tmp_path / "c/out")
    assert len(steps) == 40, "another seed is another run"


def test_a_damaged_copy_is_as_good_as_none(
    make_run: MakeRun, data_folder: Path, tmp_path: Path, steps: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    run = make_run("linear")
    train(run, data_folder, tmp_path / "a/work", tmp_path / "a/out")
    (weights,) = (tmp_path / "shared").rglob("model.safetensors")
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    train(run, data_folder, tmp_path / "b/work", tmp_path / "b/out")
    assert len(steps) == 40
    assert "passed over: model.safetensors damaged" in caplog.text
    assert (tmp_path / "a/out/model.safetensors").read_bytes() == (tmp_path / "b/out/model.safetensors").read_bytes()


def test_a_folder_that_cannot_be_used_costs_nothing(
    make_run: MakeRun, data_folder: Path, tmp_path: Path, steps: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "shared").write_text("a file, not a folder")
    summary = train(make_run("linear"), data_folder, tmp_path / "work", tmp_path / "out")
    assert summary["status"] == "ok"
    assert "not shared" in caplog.text


def test_tokenised_once_for_all(root: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("a text of some length, said again and again\n" * 90)
    spec = {"kind": "text", "path": str(tmp_path / "mine.txt"), "tokenizer": "characters", "split": [0.8, 0.1, 0.1]}

    def prepare(out: str) -> str:
        done = subprocess.run(
            [sys.executable, str(root / "src/prepare.py"), "--name", "mine", "--spec", json.dumps(spec), "--out", out],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(root / "src"), "SEQSCALE_CACHE": str(tmp_path / "shared")},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stderr

    assert "shared in" in prepare("a")
    assert "found finished" in prepare("b")
    for name in ("train.bin", "valid.bin", "test.bin", "meta.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    (tmp_path / "mine.txt").write_text("another text of some length, said again\n" * 90)
    assert "shared in" in prepare("c")
