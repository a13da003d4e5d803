"""A sweep of many trivial runs through an executor: is a job lost, and what does one cost?

    python tests/workflow/sweep.py FOLDER local 1000
    python tests/workflow/sweep.py FOLDER slurm_short 1000       a profile: 50 runs in a SLURM job
    python tests/workflow/sweep.py FOLDER slurm 60 20            20 runs in each SLURM job

The last two start their own SLURM (slurm_node.py). The figures in workflow/profiles/README.md come from here; a test
makes a smaller sweep. Exit status 0: every run was made, once, with its own content.
"""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from slurm_node import slurm_node

PROFILES = Path(__file__).resolve().parents[2] / "workflow/profiles"
SNAKEFILE = """\
rule all:
    input: expand("results/runs/{{run}}", run=range({count}))
    localrule: True

rule train:
    output: "results/runs/{{run}}"
    log: "results/logs/train/{{run}}.log"
    shell: "echo {{wildcards.run}} | tee -a results/made > {{output}} 2> {{log}}"
"""


@dataclass(frozen=True)
class Sweep:
    """What came of a sweep."""

    executor: str
    asked: int
    made: int  # files that are there with their run's own content
    times: int  # how often a run was begun; above `made`, some were begun twice
    seconds: float
    status: int
    said: str

    @property
    def is_whole(self) -> bool:
        return self.status == 0 and self.made == self.times == self.asked

    def __str__(self) -> str:
        return (
            f"{self.executor}: exit {self.status}, {self.made} of {self.asked} runs made, {self.times} begun, "
            f"{self.seconds:.0f} s, {self.seconds / self.asked:.3f} s a run"
        )


def command(folder: Path, executor: str, together: int) -> list[str]:
    """The words to type: a profile as it is, but for how long it waits for a file system that is not shared here."""
    words = [sys.executable, "-m", "snakemake", "--quiet", "rules", "progress"]
    if executor == "local":
        return [*words, "--cores", "2"]
    target = folder / "workflow/profiles"
    shutil.copytree(PROFILES, target)
    words += ["--profile", f"workflow/profiles/{executor}", "--latency-wait", "5"]
    words += ["--group-components", f"run={together}"]
    if executor == "generic":
        words += ["--groups", "train=run"]
    if executor == "slurm":
        words += ["--slurm-init-seconds-before-status-checks", "5", "--resources", "mem_mb=16000"]
    return words


def sweep(folder: Path, executor: str, count: int, together: int = 50, path: Path | None = None) -> Sweep:
    """Make `count` runs in `folder` (made anew), `together` in each SLURM job; a SLURM must be running already.

    Args:
        path: a folder with further commands, such as the profile's submit command.
    """
    folder.mkdir(parents=True)
    (folder / "Snakefile").write_text(SNAKEFILE.format(count=count))
    began = time.monotonic()
    environment = {**os.environ, "PATH": f"{path}{os.pathsep}{os.environ['PATH']}"} if path else None
    done = subprocess.run(
        command(folder, executor, together), cwd=folder, env=environment, capture_output=True, text=True, timeout=3600
    )
    seconds = time.monotonic() - began
    files = [folder / f"results/runs/{run}" for run in range(count)]
    made = sum(file.is_file() and file.read_text() == f"{file.name}\n" for file in files)
    begun = (folder / "results/made").read_text().split() if made else []
    return Sweep(executor, count, made, len(begun), seconds, done.returncode, done.stdout + done.stderr)


def main(folder: Path, executor: str, count: int, together: int = 50) -> int:
    with contextlib.nullcontext() if executor == "local" else slurm_node(folder.with_name(f"{folder.name}-slurm")):
        found = sweep(folder, executor, count, together)
    if not found.is_whole:
        print(found.said[-6000:], file=sys.stderr)
    jobs = len(set(re.findall(r"SLURM jobid (\d+)|external jobid '(\d+)'", found.said)))
    print(found, f"in {jobs} SLURM jobs" if jobs else "")
    return 0 if found.is_whole else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:])))
