#!/usr/bin/env python
"""Audit results: is each file what was written, from the inputs, by the code and with the config on record?

Every result has a record of its checksum, its inputs' checksums and its code, made when it was written. What differs is
named, with what to do. Logs and checkpoints are compared with their state when the last run of the workflow ended.

exit status: 0 everything is on record; 1 something is not; 2 there are no records.
"""

import json
from dataclasses import asdict
from pathlib import Path

from seqscale.cli import main, parser
from seqscale.records.audit import WHAT, audit


def work() -> int:
    kinds = "\n".join(f"  {what:14} {words}" for what, words in WHAT.items())
    p = parser(__doc__ or "", f"findings:\n{kinds}\n\nexample:\n  python src/audit.py results --json")
    p.add_argument("results", nargs="?", default="results", type=Path, help="the folder (default: %(default)s)")
    p.add_argument("--json", action="store_true", help="print the findings as JSON")
    a = p.parse_args()
    count, found = audit(a.results)
    if a.json:
        print(json.dumps({"files": count, "findings": [asdict(f) for f in found]}, indent=2))
    else:
        for finding in found:
            print(finding)
        print(f"{count} files compared, {len(found) or 'nothing'} {'findings' if len(found) != 1 else 'finding'}"
              if found else f"{count} files compared: all are what the records say")  # fmt: skip
    return 1 if found else 0


if __name__ == "__main__":
    main(work)
