"""The history file: rows as they come, cut back when a run resumes."""

import csv
from pathlib import Path

import pytest

from seqscale.training.history import COLUMNS, History

FULL = {"tokens": 10, "flops": 1e9, "seconds": 0.5, "learning_rate": 0.1, "train_loss": 2.5, "grad_norm": 1.0}


def rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as handle:
        return list(csv.DictReader(handle))


def write(path: Path, upto: int) -> None:
    history = History(path, 0)
    for step in range(1, upto + 1):
        history.append(step=step, valid_loss=2.0 if step % 2 else None, **FULL)
    history.close()


def test_rows_can_be_read_while_training_goes_on(tmp_path: Path) -> None:
    history = History(tmp_path / "deep" / "history.csv", 0)
    history.append(step=1, valid_loss=None, **FULL)
    (row,) = rows(history.path)
    assert tuple(row) == COLUMNS
    assert (row["step"], row["train_loss"], row["valid_loss"]) == ("1", "2.5", "")
    history.close()


@pytest.mark.parametrize("value", [None, float("nan"), float("inf")], ids=str)
def test_what_is_not_a_number_is_left_empty(tmp_path: Path, value: float | None) -> None:
    history = History(tmp_path / "history.csv", 0)
    history.append(step=1, valid_loss=value, **FULL)
    history.close()
    assert rows(history.path)[0]["valid_loss"] == ""


@pytest.mark.parametrize("step", [0, 3, 5, 9])
def test_resuming_drops_what_comes_after_the_step(tmp_path: Path, step: int) -> None:
    path = tmp_path / "history.csv"
    write(path, 5)
    before = rows(path)
    History(path, step).close()
    assert rows(path) == before[: min(step, 5)]


@pytest.mark.parametrize("torn", ["6,10,1e9", "6", "6,10,1e9,0.5,0.1,2.5,2.0,1.0,extra,columns", "\x00\x00"])
def test_a_torn_row_is_dropped(tmp_path: Path, torn: str) -> None:
    path = tmp_path / "history.csv"
    write(path, 5)
    whole = path.read_text()
    path.write_text(whole + torn)
    history = History(path, 9)
    assert path.read_text() == whole
    history.append(step=6, valid_loss=None, **FULL)
    history.close()
    assert [row["step"] for row in rows(path)] == list("123456")


def test_killed_while_resuming_loses_no_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old file stays until the shortened one is complete."""
    path = tmp_path / "history.csv"
    write(path, 5)
    before = path.read_text()

    class Killed(csv.DictWriter):
        def writerows(self, _rows: object) -> None:
            raise KeyboardInterrupt

    monkeypatch.setattr(csv, "DictWriter", Killed)
    with pytest.raises(KeyboardInterrupt):
        History(path, 4)
    assert path.read_text() == before
