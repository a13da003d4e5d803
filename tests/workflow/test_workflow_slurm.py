"""The same DAG as SLURM jobs, on a real SLURM that this test starts on this machine: same verdicts, same bits.

Where SLURM is not installed or refuses to start the tests are skipped with the reason; with SEQSCALE_NEEDS_SLURM set,
as in `.ci/run` on a machine that has it, they fail instead.
"""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from pipeline_copy import Pipeline
from slurm_node import NoSlurm, slurm_node

pytestmark = pytest.mark.slow

EXPERIMENT = {
    "dataset": "pydoc_topics",
    "models": ["mamba"],
    "context": 32,
    "batch": 4,
    "steps": 12,
    "eval_every": 6,
    "checkpoint_every": 4,
    "seeds": [1],
    "learning_rate": 0.01,
}
PROFILE = (
    "--profile",
    "workflow/profiles/slurm",
    "--slurm-init-seconds-before-status-checks",
    "5",
    "--latency-wait",
    "5",
)
RUN = "results/runs/text/{model}/seed1/{file}"


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    try:
        with slurm_node(tmp_path_factory.mktemp("slurm")):
            yield
    except NoSlurm as error:
        if os.environ.get("SEQSCALE_NEEDS_SLURM"):
            pytest.fail(f"no SLURM could be started: {error}")
        pytest.skip(f"no SLURM: {error}")


class Cluster(Pipeline):
    """A copy of the repository that runs its jobs through the SLURM profile."""

    forked = False  # they belong to SLURM

    def command(self, *arguments: str, config: str = "config/tiny.yaml") -> list[str]:
        plain = super().command(*arguments, config=config)
        place = plain.index("--cores")
        return [*plain[:place], *PROFILE, *plain[place + 2 :]]


@pytest.fixture(scope="module")
def both(slurm: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Pipeline, Cluster, str]:
    """One configuration run here and as SLURM jobs."""
    here = Pipeline(tmp_path_factory.mktemp("here") / "repo")
    there = Cluster(tmp_path_factory.mktemp("there") / "repo")
    config = here.write_config("slurm", experiments={"text": EXPERIMENT}, benchmarks=None)
    there.write_config("slurm", experiments={"text": EXPERIMENT}, benchmarks=None)
    done = here.run("results/verdicts.csv", config=config)
    assert done.returncode == 0, done.stderr[-3000:]
    done = there.run("results/verdicts.csv", config=config)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    return here, there, done.stdout + done.stderr


def test_same_losses_to_the_last_bit(both: tuple[Pipeline, Cluster, str]) -> None:
    here, there, _ = both
    for model in EXPERIMENT["models"]:  # type: ignore[attr-defined]
        one, other = (
            json.loads((p.folder / RUN.format(model=model, file="metrics.json")).read_text()) for p in both[:2]
        )
        for split in ("valid", "test"):
            assert one[split]["loss"].hex() == other[split]["loss"].hex()
        weights = [(p.folder / RUN.format(model=model, file="model.safetensors")).read_bytes() for p in (here, there)]
        assert weights[0] == weights[1]


def test_same_verdicts(both: tuple[Pipeline, Cluster, str]) -> None:
    one, other = (pd.read_csv(p.folder / "results/verdicts.csv") for p in both[:2])
    pd.testing.assert_frame_equal(one, other)


def test_short_rules_stay_here_and_runs_are_evaluated_where_they_were_trained(
    both: tuple[Pipeline, Cluster, str],
) -> None:
    words = both[2]
    assert "localrule prepare" in words
    assert "Group job run" in words
    assert "Group job publish" in words


def test_each_job_sees_its_own_gpu(slurm: None, tmp_path: Path) -> None:
    command = "echo $CUDA_VISIBLE_DEVICES; sleep 2"
    jobs = [
        subprocess.Popen(["srun", "--gpus=1", "--mem=100", "bash", "-c", command], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    assert sorted(job.communicate(timeout=60)[0].strip() for job in jobs) == ["0", "1"]


def test_over_its_memory_and_over_its_time_it_gets_more_and_resumes(slurm: None, tmp_path: Path) -> None:
    """SLURM kills the first attempt for its memory and the second for its time; the third ends what they began."""
    there = Cluster(tmp_path / "repo")
    experiment = {**EXPERIMENT, "steps": 1500, "eval_every": 1500}
    config = there.write_config("limits", experiments={"text": experiment}, benchmarks=None)
    checkpoint = there.folder / "results/work/runs/text/mamba/seed1/checkpoint.safetensors"
    memory = "train:mem_mb=100 if attempt == 1 else 4000"
    process = subprocess.Popen(
        there.command(RUN.format(model="mamba", file="summary.json"), "--set-resources", memory, config=config),
        cwd=there.folder,
        env=there.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        deadline = time.monotonic() + 200
        while not checkpoint.exists():
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        (job,) = subprocess.run(["squeue", "-h", "-t", "R", "-o", "%i"], capture_output=True, text=True).stdout.split()
        subprocess.run(["scontrol", "update", f"JobId={job}", "EndTime=now"], check=True)
        words, _ = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == 0, words[-4000:]
    said = subprocess.run(["squeue", "-h", "-a", "-t", "all", "-o", "%i %T"], capture_output=True, text=True).stdout
    states = [line.split()[1] for line in sorted(said.splitlines(), key=lambda line: int(line.split()[0]))]
    assert states[-3] in ("OUT_OF_MEMORY", "FAILED"), said  # which, depends on which of its processes died first
    assert states[-2:] == ["TIMEOUT", "COMPLETED"], said
    assert "resuming after step" in (there.folder / "results/logs/train/text/mamba/seed1.log").read_text()
    logs = [f.read_text() for f in sorted((there.folder / "results/logs/slurm").rglob("*.log"))]
    assert any("memory" in log.lower() and "exceeded" in log.lower() for log in logs), logs
