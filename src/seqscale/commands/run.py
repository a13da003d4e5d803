"""`seqscale run`: the pipeline, through Snakemake, with the live view."""

import argparse
import importlib.util
import os
import subprocess
import sys
from typing import Any

from seqscale.commands.common import checkout, show_json, subcommand

EXAMPLES = """\
  seqscale run                                       the quick start, results/report.html
  seqscale run --configfile config/tiny.yaml         another configuration
  seqscale run --dry-run                             what would run
  seqscale run results/runs/text/mamba/seed1/metrics.json
  seqscale run -- --forcerun figures                 everything after -- goes to snakemake as it is
"""


def add(subparsers: Any) -> None:
    p = subcommand(
        subparsers,
        "run",
        "run the pipeline: corpus, training, benchmarks, verdicts, report",
        "Run the pipeline in this checkout through Snakemake. What is finished stays; what was interrupted resumes.",
        EXAMPLES,
    )
    p.add_argument("targets", nargs="*", metavar="TARGET", help="files to make (default: everything)")
    p.add_argument("--configfile", metavar="YAML", help="configuration (default: config/config.yaml)")
    p.add_argument("--cores", default="all", metavar="N", help="processor cores to use (default: all)")
    p.add_argument("-n", "--dry-run", action="store_true", help="only tell what would run")
    p.add_argument("--plain", action="store_true", help="Snakemake's own output in place of the live view")
    p.set_defaults(work=work)


def work(args: argparse.Namespace) -> int:
    root = checkout()
    if importlib.util.find_spec("snakemake") is None:
        raise ModuleNotFoundError("Snakemake is not installed")
    command = [sys.executable, "-m", "snakemake", "--cores", args.cores]
    if not args.dry_run:
        command += ["--keep-going", "--rerun-incomplete"]
    if args.dry_run:
        command += ["--dry-run", "--quiet", "rules"]
    elif args.plain:
        command += ["--quiet", "rules"]
    else:
        command += ["--logger", "seqscale"]
    options = next((i for i, word in enumerate(args.targets) if word.startswith("-")), len(args.targets))
    own, extra = args.targets[:options], args.targets[options:]
    command[3:3] = own  # first: options of Snakemake that take lists would swallow them
    if args.configfile:
        command += ["--configfile", args.configfile]
    command += extra
    # with --json standard output is one document: the view goes to standard error
    environment = {**os.environ, "PATH": f"{os.path.dirname(sys.executable)}{os.pathsep}{os.environ.get('PATH', '')}"}
    status = subprocess.run(
        command, cwd=root, env=environment, stdout=sys.stderr if args.json else None, check=False
    ).returncode
    report = root / "results" / "report.html"
    if args.json:
        show_json({"ok": status == 0, "status": status, "report": str(report) if report.is_file() else None})
    elif status == 0 and not args.dry_run and not own:
        print(f"The report: {report}")
    return 0 if status == 0 else 1
