"""A sweep of many trivial runs through an executor: is a job lost, and what does one cost? By hand, not a test.

    python tests/workflow/sweep.py FOLDER local 1000
    python tests/workflow/sweep.py FOLDER slurm 20            every run a SLURM job
    python tests/workflow/sweep.py FOLDER slurm 1000 50       50 runs, one after the other, in each SLURM job

`slurm` starts its own (slurm_node.py). The figures in workflow/profiles/README.md come from here.
"""

import contextlib
import subprocess
import sys
import time
from pathlib import Path

from slurm_node import slurm_node

SNAKEFILE = """\
rule all:
    input: expand("out/{{run}}", run=range({count}))
    localrule: True

rule train:
    output: "out/{{run}}"
    log: "log/{{run}}"
    shell: "echo {{wildcards.run}} > {{output}} 2> {{log}}"
"""


def main(folder: Path, executor: str, count: int, together: int) -> None:
    folder.mkdir(parents=True)
    (folder / "Snakefile").write_text(SNAKEFILE.format(count=count))
    command = [sys.executable, "-m", "snakemake", "--quiet", "rules", "progress"]
    if executor == "slurm":
        command += ["--executor", "slurm", "--jobs", "100", "--latency-wait", "5", "--slurm-status-command", "squeue"]
        command += ["--slurm-no-account", "--slurm-init-seconds-before-status-checks", "10"]
        command += ["--default-resources", "mem_mb=500", "runtime=1"]
        command += ["--resources", "mem_mb=500"]  # within one SLURM job: one run after the other
        command += ["--groups", "train=run", "--group-components", f"run={together}"]
    else:
        command += ["--cores", "2"]
    with slurm_node(folder / "slurm") if executor == "slurm" else contextlib.nullcontext():
        began = time.monotonic()
        done = subprocess.run(command, cwd=folder)
        seconds = time.monotonic() - began
    files = [folder / f"out/{run}" for run in range(count)]
    made = [file for file in files if file.is_file() and file.read_text() == f"{file.name}\n"]
    print(f"{executor}: exit {done.returncode}, {len(made)} of {count} runs made, {seconds:.0f} s, "
          f"{1000 * seconds / count:.0f} ms a run on the wall clock")  # fmt: skip


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]) if len(sys.argv) > 4 else 1)
