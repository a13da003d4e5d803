#!/usr/bin/env python
"""Run the workflow: Snakemake with the arguments given, after putting right what a killed run left behind.

What `make run` and `make resume` do. A folder that a kill, a crash or a power cut left locked is unlocked first; if a
run is still alive in it, nothing is touched and the message says which process it is. All arguments go to Snakemake.

exit status: Snakemake's own; 3 if another run is alive in this folder.
"""

import os
import subprocess
import sys
from pathlib import Path

from seqscale.recovery import AnotherRun, check_alone, is_locked

EXAMPLE = "example:\n  python src/run.py --cores 2 --configfile config/full.yaml\n"


def main(arguments: list[str]) -> int:
    if arguments in (["-h"], ["--help"]):
        print(f"usage: run.py [argument of snakemake ...]\n\n{__doc__}\n{EXAMPLE}")
        return 0
    folder = Path.cwd()
    snakemake = [sys.executable, "-m", "snakemake"]
    try:
        check_alone(folder)
    except AnotherRun as error:
        print(f"run.py: {error}", file=sys.stderr)
        return 3
    if is_locked(folder):
        print("run.py: a run that did not end left this folder locked; no run is alive, so it is unlocked")
        unlocked = subprocess.run([*snakemake, *arguments, "--unlock"], capture_output=True, text=True)
        if unlocked.returncode:
            print(unlocked.stdout + unlocked.stderr, file=sys.stderr)
            return unlocked.returncode
    sys.stdout.flush()
    return os.execv(sys.executable, [*snakemake, *arguments])  # Snakemake takes this process's place


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
