"""Curves elsewhere: the same numbers as the history, taken back on resuming, and never a run's undoing."""

import csv
import logging
from pathlib import Path
from typing import Any

import pytest
from finished_runs import same

from seqscale.training import train
from seqscale.training.tracking import open_trackers

RUN: dict[str, Any] = {"experiment": "text", "model": {"name": "mamba"}, "seed": 1}


@pytest.fixture
def tracked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SEQSCALE_TRACKING", "tensorboard")
    monkeypatch.setenv("SEQSCALE_TRACKING_DIR", str(tmp_path))
    return tmp_path / "text/mamba/seed1"


def scalars(folder: Path, name: str) -> list[tuple[int, float]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars(name)]


def test_tensorboard_gets_the_rows_and_takes_back_what_is_redone(tracked: Path) -> None:
    pytest.importorskip("tensorboard")
    (tracker,) = open_trackers(RUN, Path("work/seed1"), 0)
    for step in (1, 2, 3, 4):
        tracker.log({"step": step, "train_loss": 5.0 - step, "valid_loss": None if step < 4 else 2.0})
    tracker.close()
    (tracker,) = open_trackers(RUN, Path("work/seed1"), 2)  # resumed after step 2
    tracker.log({"step": 3, "train_loss": 2.5, "valid_loss": None})
    tracker.close()
    assert scalars(tracked, "train_loss") == [(1, 4.0), (2, 3.0), (3, 2.5)]
    assert scalars(tracked, "valid_loss") == []


def test_a_tracked_run_is_the_same_run(tracked: Path, make_run: Any, data_folder: Path, tmp_path: Path,
                                       monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    """To the last bit; and its curve is its history."""
    pytest.importorskip("tensorboard")
    run = make_run("linear", steps=6, eval_every=3, log_every=1)
    train(run, data_folder, tmp_path / "work/seed1", tmp_path / "with")
    monkeypatch.delenv("SEQSCALE_TRACKING")
    train(run, data_folder, tmp_path / "other/seed1", tmp_path / "without")
    assert same(tmp_path / "with", tmp_path / "without")
    with open(tmp_path / "with/history.csv", newline="") as handle:
        rows = [(int(row["step"]), float(row["train_loss"])) for row in csv.DictReader(handle)]
    curve = scalars(tmp_path / "tiny/linear/seed1", "train_loss")
    assert [step for step, _ in curve] == [step for step, _ in rows]
    assert [value for _, value in curve] == pytest.approx([value for _, value in rows], rel=1e-6)


def test_nothing_is_tracked_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEQSCALE_TRACKING", raising=False)
    assert open_trackers(RUN, Path("work/seed1"), 0) == []


def test_a_service_that_is_not_there_stops_no_run(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "wandb", None)
    monkeypatch.setenv("SEQSCALE_TRACKING", "wandb")
    monkeypatch.setenv("SEQSCALE_TRACKING_DIR", str(tmp_path))
    with caplog.at_level(logging.WARNING):
        assert open_trackers(RUN, Path("work/seed1"), 0) == []
    assert "no tracking by wandb" in caplog.text


def test_a_service_that_fails_midway_stops_no_run(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tracked: Path
) -> None:
    from seqscale.training import tracking

    class Fails:
        def __init__(self, folder: Path, run: dict[str, Any], step: int) -> None:
            self.calls = 0

        def log(self, row: dict[str, Any]) -> None:
            self.calls += 1
            raise OSError("no space left")

        close = log

    monkeypatch.setitem(tracking._KINDS, "tensorboard", Fails)
    (tracker,) = open_trackers(RUN, Path("work/seed1"), 0)
    with caplog.at_level(logging.WARNING):
        tracker.log({"step": 1})
        tracker.log({"step": 2})
        tracker.close()
    assert caplog.text.count("no more tracking by tensorboard: OSError: no space left") == 1


def wandb_history(folder: Path) -> list[tuple[str, int, float]]:
    """(run id, step, train_loss) of everything in the offline files of wandb, in the order written."""
    import json

    from wandb.proto.wandb_internal_pb2 import Record

    found = []
    for file in sorted(folder.glob("wandb/offline-run-*/run-*.wandb"), key=lambda file: file.stat().st_mtime):
        content, place = file.read_bytes(), 7  # after the file's own header: LevelDB's log, in one block
        while place + 7 < len(content):
            length = int.from_bytes(content[place + 4 : place + 6], "little")
            data, place = content[place + 7 : place + 7 + length], place + 7 + length
            record = Record()
            record.ParseFromString(data)
            if record.WhichOneof("record_type") == "history":
                values = {item.key or item.nested_key[0]: item.value_json for item in record.history.item}
                step = record.history.step.num
                found.append((file.stem.removeprefix("run-"), step, json.loads(values["train_loss"])))
    return found


def test_weights_and_biases_gets_the_rows_and_a_resumed_run_stays_one(
    tracked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Offline, without an account, read back from its own files."""
    pytest.importorskip("wandb", reason="wandb is not installed (no part of the pinned environment)")
    monkeypatch.setenv("SEQSCALE_TRACKING", "wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    for step, rows in ((0, (1, 2, 3)), (2, (3, 4))):
        (tracker,) = open_trackers(RUN, Path("work/seed1"), step)
        for row in rows:
            tracker.log({"step": row, "train_loss": 5.0 - row, "valid_loss": None})
        tracker.close()
    history = wandb_history(tracked)
    assert [(step, loss) for _, step, loss in history] == [(1, 4.0), (2, 3.0), (3, 2.0), (3, 2.0), (4, 1.0)]
    assert len({identity for identity, _, _ in history}) == 1
    (tracker,) = open_trackers(RUN, Path("work/seed1"), 0)  # trained anew, another run
    tracker.log({"step": 1, "train_loss": 7.0})
    tracker.close()
    assert len({identity for identity, _, _ in wandb_history(tracked)}) == 2
