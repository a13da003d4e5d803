"""The live view with a real Snakemake: in a terminal of tmux, and in a pipe."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("snakemake")
HEADER = "step,tokens,flops,seconds,learning_rate,train_loss,valid_loss,grad_norm"
# Rules by the pipeline's names that do nothing but wait for a file: how long they run is the test's decision.
SNAKEFILE = """
rule all:
    input: expand("results/{model}.done", model=["mamba", "lstm"])

rule train:
    output: "results/{model}.done"
    params: experiment="text"
    wildcard_constraints: model="[a-z]+"
    log: "{model}.log"
    shell: "touch results/work/runs/text/{wildcards.model}/seed1/history.csv; "  # a run writes it anew as it begins
           "echo learning >&2 2> {log}; while [ ! -e go_on ]; do sleep 0.1; done; test ! -e fail_{wildcards.model}; "
           "touch {output}"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A workflow whose wildcards are those of `train`, with histories as if training were under way."""
    text = SNAKEFILE.replace("results/{model}.done", "results/{experiment}/{model}/seed{seed}.done")
    text = text.replace('model=["mamba", "lstm"]', 'experiment="text", model=["mamba", "lstm"], seed=[1]')
    text = text.replace('    params: experiment="text"\n', "").replace(
        '"{model}.log"', '"{experiment}_{model}_{seed}.log"'
    )
    (tmp_path / "Snakefile").write_text(text)
    for model, step in (("mamba", 30), ("lstm", 10)):
        work = tmp_path / f"results/work/runs/text/{model}/seed1"
        work.mkdir(parents=True)
        (work / "run.json").write_text(json.dumps({"steps": 60}))
        (work / "history.csv").write_text(f"{HEADER}\n{step},1,1,{step},1e-3,1.2345,,1\n")
    return tmp_path


def command(*more: str) -> list[str]:
    return [sys.executable, "-m", "snakemake", "--cores", "2", "--logger", "seqscale", "--keep-going", *more]


def test_in_a_pipe(folder: Path) -> None:
    (folder / "go_on").touch()
    done = subprocess.run(command(), cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stderr
    assert re.search(r"\d\d:\d\d:\d\d 2 of 2 jobs \(100 %\), 0 running", done.stderr), done.stderr
    again = subprocess.run(command(), cwd=folder, capture_output=True, text=True, timeout=120)
    assert "Nothing to be done" in again.stderr  # what CI looks for
    dry = subprocess.run(command("-n", "--forceall"), cwd=folder, capture_output=True, text=True, timeout=120)
    assert "This was a dry-run" in dry.stderr
    assert "rule train" in dry.stderr


def test_a_failure_is_told_with_its_log(folder: Path) -> None:
    (folder / "go_on").touch()
    (folder / "fail_lstm").touch()
    done = subprocess.run(command(), cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "FAILED: train text/lstm seed 1\n  log: text_lstm_1.log" in done.stderr
    assert "1 of 2 jobs (50 %), 0 running, 1 FAILED" in done.stderr
    assert "while [ ! -e go_on ]" not in done.stderr  # no page of shell command


@pytest.fixture
def tmux(tmp_path: Path) -> Iterator[list[str]]:
    """A tmux server of the test's own."""
    if shutil.which("tmux") is None:
        pytest.skip("tmux is not installed")
    call = ["tmux", "-S", str(tmp_path / "tmux.socket"), "-f", os.devnull]
    yield call
    subprocess.run([*call, "kill-server"], capture_output=True)


def screen(tmux: list[str]) -> str:
    return subprocess.run([*tmux, "capture-pane", "-p", "-t", "view"], capture_output=True, text=True).stdout


def until(tmux: list[str], words: str) -> str:
    deadline = time.monotonic() + 120
    while words not in (text := screen(tmux)):
        assert time.monotonic() < deadline, f"no {words!r} on the screen:\n{text}"
        time.sleep(0.2)
    return text


def test_in_a_terminal(folder: Path, tmux: list[str]) -> None:
    """What runs, how far, the loss, how long still; redrawn in place; gone when all is done."""
    line = " ".join(command()) + "; echo status $?"
    start = [*tmux, "new-session", "-d", "-x", "100", "-y", "30", "-s", "view", "-c", str(folder), "bash --norc -i"]
    started = subprocess.run(start, capture_output=True, text=True)
    if started.returncode:
        pytest.skip(f"tmux cannot start here: {started.stderr.strip()}")
    subprocess.run([*tmux, "send-keys", "-t", "view", line, "Enter"], check=True)
    until(tmux, "30/60")
    text = until(tmux, "10/60")
    assert re.search(r"train +text/mamba seed 1 +30/60 +1\.234 +0:30", text), text
    assert re.search(r"train +text/lstm seed 1 +10/60 +1\.234 +0:50", text), text
    assert re.search(r"0 of 2 jobs \(0 %\), 2 running, \d+:\d\d gone", text), text
    history = folder / "results/work/runs/text/mamba/seed1/history.csv"
    history.write_text(history.read_text() + "45,1,1,45,1e-3,0.9876,,1\n")
    text = until(tmux, "45/60")
    assert "0.988" in text
    assert "30/60" not in text  # redrawn, not appended
    (folder / "go_on").touch()
    text = until(tmux, "status 0")
    assert "2 of 2 jobs (100 %), 0 running" in text
    assert "45/60" not in text
