"""The profiles and the fault table say what is there."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from pipeline_copy import Pipeline
from sweep import sweep

ROOT = Path(__file__).resolve().parents[2]
PROFILES = ROOT / "workflow/profiles"
RULES = {
    name for f in (ROOT / "workflow/rules").glob("*.smk") for name in re.findall(r"^rule (\w+):", f.read_text(), re.M)
}


@pytest.mark.parametrize("name", sorted(f.parent.name for f in PROFILES.glob("*/config.yaml")))
def test_a_profile_names_only_rules_that_are_there(name: str) -> None:
    values = yaml.safe_load((PROFILES / name / "config.yaml").read_text())
    named = set(values.get("set-resources", {})) | {entry.split("=")[0] for entry in values.get("groups", [])}
    assert named <= RULES, named - RULES


@pytest.mark.slow
@pytest.mark.parametrize("name", ["slurm", "slurm_short"])
def test_the_whole_workflow_fits_a_profile(name: str, pipeline: Pipeline) -> None:
    """Every option is one that the plugin has, the groups are no circles, and the DAG is the same, to the report."""
    if name == "slurm_short":
        pytest.importorskip("snakemake_executor_plugin_cluster_generic")
    words = ["--profile", f"workflow/profiles/{name}", "--quiet", "rules", "--configfile", "config/tiny.yaml"]
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "-n", *words],
        cwd=pipeline.folder,
        env=pipeline.environment,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert {"bench", "train", "report"} <= set(re.findall(r"^(\w+) +\d+$", done.stdout + done.stderr, re.M))


QUEUE = """\
#!/bin/sh
# a queue of a cluster, as short as can be: takes a job script, says its number, runs it
for script; do :; done
echo "$*" >> asked
sh "$script" > /dev/null 2>&1 &
echo $!
"""


def test_any_queue_with_a_submit_command(tmp_path: Path) -> None:
    """The generic profile as it is, with a shell script in the place of qsub."""
    pytest.importorskip("snakemake_executor_plugin_cluster_generic")
    tmp_path.joinpath("bin").mkdir()
    qsub = tmp_path / "bin/qsub"
    qsub.write_text(QUEUE)
    qsub.chmod(0o755)
    found = sweep(tmp_path / "sweep", "generic", 6, together=3, path=tmp_path / "bin")
    assert found.is_whole, f"{found}\n{found.said[-4000:]}"
    asked = (tmp_path / "sweep/asked").read_text().splitlines()
    assert len(asked) == 2
    for line in asked:
        assert re.search(r"-N seqscale_GROUP -l select=1:ncpus=\d+:ngpus=0:mem=\d+mb -l walltime=0:\d+:0", line), line


def program(folder: Path, name: str, text: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


FORGOTTEN = "echo slurm_load_jobs error: Invalid job id specified >&2; exit 1"
NO_ACCOUNTING = "echo Slurm accounting storage is disabled >&2; exit 1"


@pytest.mark.parametrize(
    ("squeue", "sacct", "left", "said"),
    [
        ("echo RUNNING", "exit 1", None, "running"),
        ("echo COMPLETED", "exit 1", None, "success"),
        ("echo TIMEOUT", "exit 1", None, "failed"),
        ("echo Unable to contact slurm controller >&2; exit 1", "echo FAILED", 1, "running"),
        (FORGOTTEN, "echo '  COMPLETED '", None, "success"),
        (FORGOTTEN, "echo CANCELLED by 0", None, "failed"),
        (FORGOTTEN, NO_ACCOUNTING, 0, "success"),
        (FORGOTTEN, NO_ACCOUNTING, 1, "failed"),
        ("exit 0", "echo COMPLETED", None, "success"),  # squeue of other versions: nothing, with status 0
        ("exit 0", NO_ACCOUNTING, 0, "success"),
        ("exit 0", NO_ACCOUNTING, 1, "failed"),
    ],
)
def test_what_becomes_of_a_short_job(tmp_path: Path, squeue: str, sacct: str, left: int | None, said: str) -> None:
    assert status_of_7(tmp_path, squeue, sacct, left) == said


def status_of_7(folder: Path, squeue: str, sacct: str, left: int | None = None) -> str:
    """What status.sh says of job 7, whose script left this exit status."""
    logs = folder / "results/logs/slurm"
    logs.mkdir(parents=True, exist_ok=True)
    program(folder / "bin", "squeue", squeue)
    program(folder / "bin", "sacct", sacct)
    if left is not None:
        (logs / "7.exit").write_text(f"{left}\n")
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    words = [PROFILES / "slurm_short/status.sh", "7"]
    done = subprocess.run(words, cwd=folder, env={"PATH": path}, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_a_job_that_nobody_knows_is_given_a_minute(tmp_path: Path) -> None:
    assert [status_of_7(tmp_path, "exit 0", NO_ACCOUNTING) for _ in range(2)] == ["running", "running"]
    gone = tmp_path / "results/logs/slurm/7.gone"
    os.utime(gone, (time.time() - 150, time.time() - 150))
    assert status_of_7(tmp_path, "echo RUNNING", NO_ACCOUNTING) == "running"  # it was there all the time
    assert status_of_7(tmp_path, "exit 0", NO_ACCOUNTING) == "running"
    os.utime(gone, (time.time() - 150, time.time() - 150))
    assert status_of_7(tmp_path, "exit 0", NO_ACCOUNTING) == "failed"


SBATCH = """\
for script; do :; done
echo asked >> asked
SLURM_JOB_ID=$(wc -l < asked); export SLURM_JOB_ID
sh "$script" > /dev/null 2>&1 &
echo $! > job$SLURM_JOB_ID
echo $SLURM_JOB_ID"""
SQUEUE = f"""\
for word; do case "$word" in --jobs=*) job=${{word#--jobs=}} ;; esac; done
if kill -0 "$(cat job$job)" 2> /dev/null; then echo RUNNING; else {FORGOTTEN}; fi"""


def test_no_short_job_is_sent_twice_where_slurm_forgets_at_once(tmp_path: Path) -> None:
    """The profile as it is; shell scripts in the place of a SLURM without accounting and with a MinJobAge of none."""
    pytest.importorskip("snakemake_executor_plugin_cluster_generic")
    for name, text in (("sbatch", SBATCH), ("squeue", SQUEUE), ("sacct", NO_ACCOUNTING)):
        program(tmp_path / "bin", name, text)
    found = sweep(tmp_path / "sweep", "slurm_short", 6, together=3, path=tmp_path / "bin")
    assert found.is_whole, f"{found}\n{found.said[-4000:]}"
    assert len((tmp_path / "sweep/asked").read_text().split()) == 2


def test_the_pod_runs_what_is_there() -> None:
    job = yaml.safe_load((ROOT / "workflow/containers/kubernetes.yaml").read_text())
    (container,) = job["spec"]["template"]["spec"]["containers"]
    for word in container["command"]:
        assert "/" not in word or (ROOT / word).is_file(), word


def test_kubernetes_knows_every_word_of_the_pod() -> None:
    """Read and written again by Kubernetes' own client, which drops what it does not know."""
    client = pytest.importorskip("kubernetes.client")
    text = (ROOT / "workflow/containers/kubernetes.yaml").read_text()
    api, given = client.ApiClient(), yaml.safe_load(text)
    job = api.deserialize(SimpleNamespace(data=json.dumps(given)), "V1Job")
    assert api.sanitize_for_serialization(job) == given


def test_every_fault_has_its_test() -> None:
    rows = re.findall(
        r"^\| (.+?) \| .*`(tests/[\w/]+\.py)::(\w+)` \|$", (ROOT / "workflow/FAULTS.md").read_text(), re.M
    )
    assert len(rows) >= 15
    for fault, file, test in rows:
        assert f"\ndef {test}(" in (ROOT / file).read_text(), f"{fault}: {file} has no {test}"


def test_the_guide_names_only_what_is_there() -> None:
    text = (PROFILES / "README.md").read_text()
    for path in re.findall(r"`((?:config|src|workflow|tests)/[\w/.-]+)`", text):
        assert (ROOT / path).exists(), path
    for path in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (PROFILES / path).exists(), path
