"""The command `seqscale audit`, which is `src/audit.py` too: are results what their inputs, code and config say?"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from seqscale.cli import parser
from seqscale.records.audit import WHAT, audit

DESCRIPTION = """\
Audit results: is each file what was written, from the inputs, by the code and with the config on record?

Every result has a record of its checksum, its inputs' checksums and its code, made when it was written. What differs is
named, with what to do. Logs and checkpoints are compared with their state when the last run of the workflow ended.

exit status: 0 everything is on record; 1 something is not; 2 there are no records.
"""


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    kinds = "\n".join(f"  {what:14} {words}" for what, words in WHAT.items())
    p = parser(DESCRIPTION, f"findings:\n{kinds}\n\nexample:\n  seqscale audit results --json")
    p.add_argument("results", nargs="?", default="results", type=Path, help="the folder (default: %(default)s)")
    p.add_argument("--json", action="store_true", help="print the findings as JSON")
    return p


def main(argv: list[str]) -> int:
    """Audit and print what was found; returns the exit status."""
    a = arguments().parse_args(argv)
    try:
        count, found = audit(a.results)
    except (ValueError, OSError) as error:
        print(f"audit: {error}", file=sys.stderr)
        return 2
    if a.json:
        print(json.dumps({"files": count, "findings": [asdict(f) for f in found]}, indent=2))
        return 1 if found else 0
    for finding in found:
        print(finding)
    if found:
        print(f"{count} files compared, {len(found)} {'findings' if len(found) > 1 else 'finding'}")
    else:
        print(f"{count} files compared: all are what the records say")
    return 1 if found else 0
