"""`seqscale verdicts`: which published claims hold here."""

import argparse
import csv
from pathlib import Path
from typing import Any

from seqscale.commands.common import show_json, show_table, subcommand

EXAMPLES = """\
  seqscale verdicts
  seqscale verdicts --claim 000 --parts              all of one source, part by part
  seqscale verdicts --results results/reference/h200
  seqscale verdicts --strict                         exit status 1 if a claim was not reproduced
"""


def add(subparsers: Any) -> None:
    p = subcommand(subparsers, "verdicts", "show the verdicts", "Show results/verdicts.csv.", EXAMPLES)
    p.add_argument("--results", default="results", type=Path, metavar="DIR", help="default: %(default)s")
    p.add_argument("--claim", metavar="ID", help="only claims that begin with this")
    p.add_argument("--verdict", metavar="WORD", help="only this verdict (reproduced, 'not reproduced', ...)")
    p.add_argument("--parts", action="store_true", help="also each part of a claim")
    p.add_argument("--strict", action="store_true", help="exit status 1 if any claim shown was not reproduced")
    p.set_defaults(work=work)


def work(args: argparse.Namespace) -> int:
    file = args.results / "verdicts.csv"
    if not file.is_file():
        raise ValueError(f"there is no {file}: run the pipeline first (seqscale run), or name a folder with --results")
    with open(file, newline="", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    shown = [
        row
        for row in rows
        if (args.parts or not row.get("part"))
        and row["claim"].startswith(args.claim or "")
        and args.verdict in (None, row["verdict"])
    ]
    if args.claim and not shown and not args.verdict:
        sources = sorted({row["claim"] for row in rows})
        raise ValueError(f"no claim begins with {args.claim!r}; there are {', '.join(sources)}")
    if args.json:
        show_json([{key: value or None for key, value in row.items()} for row in shown])
    else:
        columns = ["claim", *(["part"] if args.parts else []), "protocol", "verdict", "measured", "reason"]
        show_table(columns, ([_cell(row.get(column, "")) for column in columns] for row in shown))
        counts: dict[str, int] = {}
        for row in shown:
            counts[row["verdict"]] = counts.get(row["verdict"], 0) + 1
        print("\n" + (", ".join(f"{n} {word}" for word, n in sorted(counts.items())) or "none"))
    return 1 if args.strict and any(row["verdict"] == "not reproduced" for row in shown) else 0


def _cell(text: str) -> str:
    try:
        return f"{float(text):.4g}"
    except ValueError:
        return text if len(text) <= 100 else text[:97] + "..."
