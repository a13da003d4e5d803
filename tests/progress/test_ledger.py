"""The books of a run, and the words and lines made of them."""

import io
import json
import os
import time
from pathlib import Path

import pytest

from seqscale.progress import Job, Ledger, make_view
from seqscale.progress.ledger import last_row
from seqscale.progress.view import PlainView, duration, failure_words, headline, job_words

TRAIN = {"experiment": "text", "model": "mamba", "seed": "1"}
HEADER = "step,tokens,flops,seconds,learning_rate,train_loss,valid_loss,grad_norm\n"


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """One training run at step 20 of 80, four seconds in."""
    work = tmp_path / "work/runs/text/mamba/seed1"
    work.mkdir(parents=True)
    (work / "run.json").write_text(json.dumps({"steps": 80}))
    (work / "history.csv").write_text(HEADER + "1,2,3,0.2,1e-3,4.5,,1\n20,2,3,4.0,1e-3,1.8421,2.0,1\n21,2,3,4.2,1e")
    books = Ledger(tmp_path)
    books.plan({"train": 3, "evaluate": 3, "all": 1, "total": 7})
    return books


def test_counts_follow_the_jobs(ledger: Ledger) -> None:
    assert ledger.total == 6  # the target rule is no work
    ledger.start(1, Job("train", TRAIN))
    ledger.start(2, Job("train", {**TRAIN, "seed": "2"}))
    assert ledger.waiting == {"train": 1, "evaluate": 3}
    assert headline(ledger).startswith("0 of 6 jobs (0 %), 2 running, 0:00 gone")
    ledger.finish(1)
    assert ledger.fail(2) == ledger.failed[0]
    assert "1 of 6 jobs (16 %), 0 running, 1 FAILED" in headline(ledger)
    assert ledger.finish(99) is None  # the target rule ends, too


def test_a_training_run_tells_step_loss_and_time_left(ledger: Ledger) -> None:
    job = Job("train", TRAIN)
    assert job_words(ledger, job) == "train text/mamba seed 1: step 20 of 80, loss 1.842, 0:12 left"


def test_a_torn_row_is_not_read(ledger: Ledger) -> None:
    history = ledger.results / "work/runs/text/mamba/seed1/history.csv"
    assert last_row(history) == (20, 1.8421, 4.0)
    history.write_text(HEADER)
    assert last_row(history) is None
    assert job_words(ledger, Job("train", TRAIN)) == "train text/mamba seed 1: step 0 of 80"
    history.write_text(HEADER + "".join(f"{i},2,3,{i / 10},1e-3,{i},,1\n" for i in range(1, 2000)))
    assert last_row(history) == (1999, 1999.0, 199.9)


def test_what_an_earlier_run_wrote_is_not_this_ones_step(ledger: Ledger) -> None:
    """A run that is made again begins anew: until it writes, its time is all that is known."""
    history = ledger.results / "work/runs/text/mamba/seed1/history.csv"
    hour_ago = time.time() - 3600
    os.utime(history, (hour_ago, hour_ago))
    assert job_words(ledger, Job("train", TRAIN, began=time.monotonic() - 65)) == "train text/mamba seed 1: 1:05"
    history.touch()
    assert "step 20 of 80" in job_words(ledger, Job("train", TRAIN))


def test_other_jobs_tell_how_long_they_have_run(ledger: Ledger) -> None:
    job = Job("bench", {"suite": "prefill", "model": "mamba"}, began=time.monotonic() - 65)
    assert job_words(ledger, job) == "bench prefill/mamba: 1:05"


def test_time_left_is_what_jobs_of_the_kind_took(ledger: Ledger) -> None:
    assert ledger.seconds_left() is None  # nothing is known yet
    now = time.monotonic()
    ledger.start(1, Job("evaluate", TRAIN, began=now - 10))
    ledger.finish(1)
    # one at a time: 3 training runs and 2 evaluations at 10 s each
    assert ledger.seconds_left() == pytest.approx(50, rel=0.01)
    ledger.start(2, Job("train", TRAIN, began=now - 4))
    # the running one says 12 s for itself; 2 + 2 wait
    assert ledger.seconds_left() == pytest.approx(52, rel=0.01)
    ledger.start(3, Job("train", {**TRAIN, "seed": "2"}))
    # two side by side: 10 s for that one, 3 jobs of 10 s wait: (12 + 10 + 30) / 2
    assert ledger.seconds_left() == pytest.approx(26, rel=0.02)


def test_durations() -> None:
    assert [duration(s) for s in (0, 7.4, 205, 7391)] == ["0:00", "0:07", "3:25", "2:03:11"]


def test_a_failure_shows_the_logs_last_word(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("Traceback ...\nValueError: the corpus is empty\n\n")
    assert failure_words(Job("train", TRAIN, str(log))).splitlines() == [
        "FAILED: train text/mamba seed 1",
        f"  log: {log}",
        "  its last line: ValueError: the corpus is empty",
    ]
    assert failure_words(Job("train", TRAIN, str(tmp_path / "none"))).count("\n") == 1


def test_in_a_pipe_there_are_plain_lines_now_and_then(ledger: Ledger) -> None:
    stream = io.StringIO()
    view = PlainView(ledger, stream, every=3600)
    view.changed()
    for number in range(1, 7):
        ledger.start(number, Job("train", TRAIN))
        ledger.finish(number)
        view.changed()
    view.close()
    lines = stream.getvalue().splitlines()
    assert len(lines) == 2  # the first and the last; a line for each job would be hundreds
    assert "6 of 6 jobs (100 %), 0 running" in lines[-1]
    assert "\x1b" not in stream.getvalue()


def test_a_long_job_gives_lines_without_events(ledger: Ledger) -> None:
    stream = io.StringIO()
    view = PlainView(ledger, stream, every=0.05)
    ledger.start(1, Job("train", TRAIN))
    deadline = time.monotonic() + 20
    while stream.getvalue().count("step 20 of 80") < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    view.close()


def test_a_stream_that_is_no_terminal_gets_plain_lines() -> None:
    view = make_view(io.StringIO())
    assert isinstance(view, PlainView)
    view.close()
