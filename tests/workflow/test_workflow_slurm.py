"""The same DAG as SLURM jobs, on a real SLURM that this test starts on this machine: same verdicts, same bits.

Where SLURM is not installed or refuses to start the tests are skipped with the reason; with SEQSCALE_NEEDS_SLURM set,
as in `.ci/run` on a machine that has it, they fail instead.
"""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pipeline_copy import Pipeline
from same_results import differences
from slurm_node import NoSlurm, slurm_node
from sweep import PROFILES, sweep

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
BENCHMARKS = {
    "models": ["mamba"],
    "repeats": 3,
    "min_seconds": 0.001,
    "suites": {"decode": {"batch": 1, "lengths": [16, 32], "tokens": 4}},
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
    config = here.write_config("slurm", experiments={"text": EXPERIMENT}, benchmarks=BENCHMARKS)
    there.write_config("slurm", experiments={"text": EXPERIMENT}, benchmarks=BENCHMARKS)
    done = here.run("results/verdicts.csv", config=config)
    assert done.returncode == 0, done.stderr[-3000:]
    done = there.run("results/verdicts.csv", config=config)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    return here, there, done.stdout + done.stderr


def test_same_verdicts_and_the_same_bits(both: tuple[Pipeline, Cluster, str]) -> None:
    """Weights, evaluations, tables and verdicts; the whole tiny configuration is compared by same_results.py."""
    here, there, _ = both
    assert (there.folder / RUN.format(model="mamba", file="model.safetensors")).is_file()
    assert (there.folder / "results/bench/decode/mamba.csv").is_file()
    found, _ = differences(here.folder / "results", there.folder / "results")
    assert not found


def test_short_rules_stay_here_and_runs_are_evaluated_where_they_were_trained(
    both: tuple[Pipeline, Cluster, str],
) -> None:
    words = both[2]
    assert "localrule prepare" in words
    assert "Group job run" in words
    assert "Group job publish" in words


GPU_JOBS = """
rule all:
    input: expand("results/{run}", run=range(2))
    localrule: True

rule train:  # waits until the other one has begun, so that both hold their GPU at once
    output: "results/{run}"
    resources: gpu=1
    shell:
        "echo $CUDA_VISIBLE_DEVICES > results/sees{wildcards.run}; "
        "for i in $(seq 300); do test -s results/sees0 -a -s results/sees1 && break; sleep 0.2; done; "
        "cp results/sees{wildcards.run} {output}"
"""


def test_each_job_sees_its_own_gpu(slurm: None, tmp_path: Path) -> None:
    """Through the profile: two jobs that run at once each ask for a GPU, and see one, another one each."""
    (tmp_path / "Snakefile").write_text(GPU_JOBS)
    shutil.copytree(PROFILES, tmp_path / "workflow/profiles")
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", *PROFILE], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert sorted((tmp_path / f"results/{run}").read_text().strip() for run in range(2)) == ["0", "1"]


def test_a_sweep_of_short_runs_loses_none(slurm: None, tmp_path: Path) -> None:
    """sweep.py does the same with a thousand."""
    pytest.importorskip("snakemake_executor_plugin_cluster_generic")
    found = sweep(tmp_path / "sweep", "slurm_short", 60, together=20)
    assert found.is_whole, f"{found}\n{found.said[-4000:]}"
    assert len(set(re.findall(r"external jobid '(\d+)'", found.said))) == 3


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
