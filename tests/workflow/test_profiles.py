"""The profiles and the fault table say what is there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from pipeline_copy import Pipeline
from snakemake_interface_executor_plugins.registry import ExecutorPluginRegistry

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
def test_a_dry_run_with_an_engine_that_is_not_here(pipeline: Pipeline) -> None:
    """Every option of the profile is one that the plugin has, and the DAG is the same."""
    if "cluster-generic" not in ExecutorPluginRegistry().plugins:
        pytest.skip("pip install snakemake-executor-plugin-cluster-generic")
    words = ["--profile", "workflow/profiles/generic", "--quiet", "rules", "--configfile", "config/tiny.yaml"]
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "-n", *words],
        cwd=pipeline.folder,
        env=pipeline.environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"train +[1-9]\d*\n", done.stdout + done.stderr)


def test_the_pod_runs_what_is_there() -> None:
    job = yaml.safe_load((ROOT / "workflow/containers/kubernetes.yaml").read_text())
    (container,) = job["spec"]["template"]["spec"]["containers"]
    for word in container["command"]:
        assert "/" not in word or (ROOT / word).is_file(), word


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
