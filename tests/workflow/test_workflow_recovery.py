"""Kill it, damage it, let it diverge: what is finished stays, what was running resumes, the numbers are the same."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from pipeline_copy import Pipeline

pytestmark = pytest.mark.slow

EXPERIMENT = {
    "dataset": "pydoc_topics",
    "models": ["mamba"],
    "context": 32,
    "batch": 8,
    "steps": 720,
    "eval_every": 720,
    "checkpoint_every": 5,
    "log_every": 40,
    "seeds": [1],
    "learning_rate": 0.01,
}
TARGET = "results/runs/text/mamba/seed1/metrics.json"
CHECKPOINT = "results/work/runs/text/mamba/seed1/checkpoint.safetensors"


def loss_of(pipeline: Pipeline) -> float:
    return json.loads((pipeline.folder / TARGET).read_text())["test"]["loss"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> float:
    pipeline = Pipeline(tmp_path_factory.mktemp("undisturbed") / "repo")
    config = pipeline.write_config("kill", experiments={"text": EXPERIMENT}, benchmarks=None)
    done = pipeline.run(TARGET, config=config)
    assert done.returncode == 0, done.stderr[-3000:]
    return loss_of(pipeline)


def start_and_kill(pipeline: Pipeline, config: str, everything: bool) -> None:
    """Start the run, wait for a checkpoint in the middle of training, kill -9."""
    process = subprocess.Popen(
        pipeline.command(TARGET, config=config),
        cwd=pipeline.folder,
        env=pipeline.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    while not (pipeline.folder / CHECKPOINT).exists():
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline, "no checkpoint appeared"
        time.sleep(0.02)
    if everything:
        os.killpg(process.pid, signal.SIGKILL)
    else:
        os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (pipeline.folder / TARGET).exists()


@pytest.mark.parametrize("everything", [True, False], ids=["everything", "snakemake alone"])
def test_kill_and_the_two_words(pipeline: Pipeline, undisturbed: float, everything: bool) -> None:
    """`snakemake --unlock`, then the run again: the same loss to the last bit. An orphaned job does no harm."""
    config = pipeline.write_config("kill", experiments={"text": EXPERIMENT}, benchmarks=None)
    start_and_kill(pipeline, config, everything)
    locked = pipeline.run(TARGET, "--rerun-incomplete", config=config)
    assert locked.returncode != 0
    assert "--unlock" in locked.stdout + locked.stderr
    assert pipeline.run("--unlock", config=config).returncode == 0
    done = pipeline.run(TARGET, "--rerun-incomplete", config=config)
    assert done.returncode == 0, done.stderr[-3000:]
    assert loss_of(pipeline) == undisturbed
    log = (pipeline.folder / "results/logs/train/text/mamba/seed1.log").read_text()
    assert "resuming after step" in log


def test_a_diverged_run_is_a_hole_in_the_report_and_stops_nothing(pipeline: Pipeline) -> None:
    experiment = {
        **EXPERIMENT,
        "models": ["linear", "mamba"],
        "steps": 12,
        "eval_every": 12,
        "seeds": [1, 2],
        "optimizer": {"clip": 1.0e9},
        "overrides": {"mamba": {"learning_rate": 10.0}},
    }
    config = pipeline.write_config("diverge", experiments={"text": experiment}, benchmarks=None)
    # Learning rates of 10 do not always end in NaN within 12 steps; weights that overflow do.
    mixer = pipeline.folder / "src/seqscale/mixers/mamba.py"
    mixer.write_text(
        mixer.read_text().replace("return self.out_proj(y), {", "return self.out_proj(y * 1e30) * 1e30, {", 1)
    )
    done = pipeline.run(config=config)
    assert done.returncode == 0, done.stderr[-3000:]
    runs = pd.read_csv(pipeline.folder / "results/tables/runs.csv").set_index("model")
    assert (runs.loc["linear", "status"] == "ok").all()
    assert (runs.loc["mamba", "status"] == "diverged").all()
    assert runs.loc["mamba", "test_loss"].isna().all()
    assert runs.loc["mamba", "reason"].str.contains("step 1 of 12").all()
    assert "diverged" in (pipeline.folder / "results/report.html").read_text()


def test_damaged_weights_are_noticed_before_a_number_is_made(pipeline: Pipeline) -> None:
    experiment = {**EXPERIMENT, "models": ["linear"], "steps": 4, "eval_every": 4}
    config = pipeline.write_config("damage", experiments={"text": experiment}, benchmarks=None)
    folder = pipeline.folder / "results/runs/text/linear/seed1"
    assert pipeline.run(str((folder / "summary.json").relative_to(pipeline.folder)), config=config).returncode == 0
    weights = folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-3] ^= 1
    weights.write_bytes(content)
    done = pipeline.run(TARGET.replace("mamba", "linear"), config=config)
    assert done.returncode != 0
    log = (pipeline.folder / "results/logs/evaluate/text/linear/seed1.log").read_text()
    assert "model.safetensors is damaged" in log


def test_your_own_text_is_one_line_of_config(pipeline: Pipeline) -> None:
    text = "In the beginning was the word, and the word was short; again and again it came.\n" * 200
    (pipeline.folder / "my book.txt").write_text(text)
    experiment = {**EXPERIMENT, "dataset": "my book.txt", "models": ["linear"], "steps": 4, "eval_every": 4}
    config = pipeline.write_config("own", experiments={"text": experiment}, benchmarks=None)
    target = TARGET.replace("mamba", "linear")
    done = pipeline.run(target, config=config)
    assert done.returncode == 0, done.stderr[-3000:]
    meta = json.loads((pipeline.folder / "results/data/my_book/meta.json").read_text())
    assert sum(meta["characters"].values()) == len(text)
    # Editing the text reruns what was made of it.
    Path(pipeline.folder / "my book.txt").write_text(text + "And more.\n")
    assert pipeline.jobs(target, config=config) == {"prepare": 1, "train": 1, "evaluate": 1}
    shutil.rmtree(pipeline.folder / "results")


def hear_ctrl_c() -> None:
    """What a shell starts in the background ignores Ctrl-C, and hands that on."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(pipeline: Pipeline, config: str) -> subprocess.Popen[str]:
    """What `make run` starts, in a process group of its own, as a terminal does."""
    return subprocess.Popen(
        [sys.executable, "src/run.py", TARGET, "--cores", "2", "--rerun-incomplete", "--configfile", config],
        cwd=pipeline.folder,
        env=pipeline.environment | {"PYTHONPATH": str(pipeline.folder / "src")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=hear_ctrl_c,
    )


def wait_for_step(pipeline: Pipeline, process: subprocess.Popen[str], after: bytes = b"") -> bytes:
    """Wait until there is a checkpoint with other bytes than `after`; returns them."""
    deadline = time.monotonic() + 120
    while True:
        try:
            content = (pipeline.folder / CHECKPOINT).read_bytes()
        except FileNotFoundError:  # not yet, or just being moved aside
            content = after
        if content != after:
            return content
        assert process.poll() is None, "the run ended before it could be disturbed"
        assert time.monotonic() < deadline, "no checkpoint appeared"
        time.sleep(0.02)


def wait_for_locks(pipeline: Pipeline) -> None:
    """Until Snakemake has locked the folder."""
    locks = pipeline.folder / ".snakemake/locks"
    for _ in range(600):
        if locks.is_dir() and any(locks.iterdir()):
            return
        time.sleep(0.1)
    raise AssertionError(f"{locks} stayed empty for a minute")


def test_one_word_after_ctrl_c_after_a_power_cut_and_never_beside_a_living_run(
    pipeline: Pipeline, undisturbed: float
) -> None:
    """A second run is refused while the first lives; whatever ends the first, the same word goes on where it was."""
    config = pipeline.write_config("kill", experiments={"text": EXPERIMENT}, benchmarks=None)
    first = start(pipeline, config)
    seen = wait_for_step(pipeline, first)
    second = start(pipeline, config)
    words = second.communicate(timeout=60)[0]
    assert second.returncode == 3, words
    assert f"a run is alive in {pipeline.folder}: process {first.pid}" in words
    assert first.poll() is None, "refusing must not disturb the living"

    os.killpg(first.pid, signal.SIGINT)  # Ctrl-C
    words = first.communicate(timeout=120)[0]
    assert first.returncode != 0, words
    assert not (pipeline.folder / TARGET).exists()

    third = start(pipeline, config)
    wait_for_step(pipeline, third, seen)
    wait_for_locks(pipeline)  # the steps seen may be those of the first run, made while it stopped
    os.killpg(third.pid, signal.SIGKILL)  # the power cut: every process is gone, every lock file is still there
    third.communicate(timeout=60)
    assert any((pipeline.folder / ".snakemake/locks").iterdir())
    assert (pipeline.folder / ".snakemake/seqscale.lock").read_text()

    fourth = start(pipeline, config)
    words = fourth.communicate(timeout=300)[0]
    assert fourth.returncode == 0, words
    assert "no run is alive, so it is unlocked" in words
    assert loss_of(pipeline) == undisturbed
    assert "resuming after step" in (pipeline.folder / "results/logs/train/text/mamba/seed1.log").read_text()

    # The clock jumps: what was read seems to be from the next century, what was made from the last.
    os.utime(pipeline.folder / "results/data/pydoc_topics/meta.json", (4e9, 4e9))
    os.utime(pipeline.folder / TARGET, (3e8, 3e8))
    fifth = start(pipeline, config)
    words = fifth.communicate(timeout=300)[0]
    assert fifth.returncode == 0, words
    assert loss_of(pipeline) == undisturbed
