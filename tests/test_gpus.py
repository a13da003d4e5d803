"""Places on GPUs: each job sees its own device, never more jobs than places, and a killed job gives its place back."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from seqscale import gpus

JOB = """
import sys, time
from pathlib import Path
from seqscale.gpus import take
print(take(int(sys.argv[2]), Path(sys.argv[1])), flush=True)
sys.stdin.read()
"""


class Jobs:
    """Jobs that hold their places until they are told to go, or killed."""

    def __init__(self, folder: Path, root: Path, listed: str) -> None:
        self.folder, self.listed = folder, listed
        self.environment = {**os.environ, "SEQSCALE_GPUS": listed, "PYTHONPATH": str(root / "src")}
        self.running: list[subprocess.Popen[str]] = []

    def start(self, count: int = 1) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", JOB, str(self.folder), str(count)]
        job = subprocess.Popen(command, env=self.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.running.append(job)
        return job

    def end(self) -> None:
        for job in self.running:
            job.kill()
            job.communicate()


def sees(job: subprocess.Popen[str]) -> str:
    assert job.stdout is not None
    return job.stdout.readline().strip()


def test_one_run_per_gpu_and_a_killed_one_makes_room(tmp_path: Path, root: Path) -> None:
    jobs = Jobs(tmp_path, root, "0,1")
    try:
        first, second = jobs.start(), jobs.start()
        assert sorted([sees(first), sees(second)]) == ["0", "1"]
        third = jobs.start()
        with pytest.raises(subprocess.TimeoutExpired):
            third.wait(1)
        os.kill(first.pid, signal.SIGKILL)
        assert sees(third) in ("0", "1")
    finally:
        jobs.end()


def test_two_runs_on_each_gpu_and_one_run_on_two(tmp_path: Path, root: Path) -> None:
    jobs = Jobs(tmp_path, root, "0,0,1,1")
    try:
        wide = jobs.start(2)
        assert sees(wide) == "0,1"
        narrow = [jobs.start(), jobs.start()]
        assert sorted(sees(job) for job in narrow) == ["0", "1"]
    finally:
        jobs.end()


def test_unset_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEQSCALE_GPUS", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")  # as a scheduler set it
    assert gpus.take() is None
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "3"


@pytest.mark.parametrize(("listed", "words"), [("0;1", "allowed: device numbers"), ("0,0", "2 GPUs are needed")])
def test_what_cannot_be(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, listed: str, words: str) -> None:
    monkeypatch.setenv("SEQSCALE_GPUS", listed)
    with pytest.raises(ValueError, match=words):
        gpus.take(2, tmp_path)
