"""`seqscale report`: the report, made again from the result tables."""

import argparse
import subprocess
import sys
import webbrowser
from pathlib import Path
from typing import Any

from seqscale.commands.common import checkout, show_json, subcommand

EXAMPLES = """\
  seqscale report                                    results/report.html from results/tables
  seqscale report --open                             and show it in the browser
"""


def add(subparsers: Any) -> None:
    p = subcommand(
        subparsers,
        "report",
        "make the report again from the tables",
        "Run the report notebook on the result tables: one HTML file that works offline. Nothing is trained.",
        EXAMPLES,
    )
    p.add_argument(
        "--results", type=Path, metavar="DIR", help="folder with tables/ (default: results of this checkout)"
    )
    p.add_argument("--out", type=Path, metavar="FILE", help="the page (default: report.html in that folder)")
    p.add_argument("--open", action="store_true", help="show it in the browser")
    p.set_defaults(work=work)


def work(args: argparse.Namespace) -> int:
    root = checkout()
    results = args.results or root / "results"
    if not (results / "tables").is_dir():
        raise ValueError(f"there are no tables in {results}: run the pipeline first (seqscale run)")
    out = args.out or results / "report.html"
    command = [sys.executable, str(root / "src" / "report.py"), "--tables", str(results / "tables")]
    command += ["--verdicts", str(results / "verdicts.csv"), "--figures", str(results / "figures"), "--out", str(out)]
    if (results / "config.json").is_file():
        command += ["--config", str(results / "config.json")]
    status = subprocess.run(command, stdout=sys.stderr if args.json else None, check=False).returncode
    if status:
        return status
    if args.json:
        show_json({"report": str(out), "bytes": out.stat().st_size})
    if args.open:
        webbrowser.open(out.resolve().as_uri())
    return 0
