#!/usr/bin/env python3
"""Put every claim of config/claims.yaml to the tables and write a verdict on each.

Written: verdicts.csv and verdicts.json. A verdict is one of: reproduced, not reproduced, inconclusive (the interval
straddles the line, or runs failed), not tested (with why). `--check` only reads the claims file and says what is wrong
with it, which takes a second and no tables.

Example:
  python src/verdicts.py --tables results/tables --claims config/claims.yaml --out results
"""

import argparse
import sys
from pathlib import Path

from seqscale.claims import ClaimsError, judge, load_claims, read_tables, write_verdicts

SCHEMA = Path(__file__).resolve().parent.parent / "workflow" / "schemas" / "claims.schema.yaml"


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--claims", required=True, metavar="YAML", help="the claims file; its head explains the form")
    parser.add_argument("--tables", metavar="DIR", help="folder with the tables that src/tables.py made")
    parser.add_argument("--out", metavar="DIR", help="folder for verdicts.csv and verdicts.json")
    parser.add_argument("--schema", default=SCHEMA, metavar="YAML", help="JSON schema of the claims file")
    parser.add_argument("--check", action="store_true", help="only check the claims file")
    args = parser.parse_args(arguments)
    if not args.check and not (args.tables and args.out):
        parser.error("--tables and --out are needed (unless --check)")
    return args


def main(arguments: list[str] | None = None) -> int:
    """Judge; 0 if verdicts were written (whatever they are), 2 if the claims file or the tables cannot be used."""
    args = parse_arguments(arguments)
    try:
        claims = load_claims(args.claims, args.schema)
        if args.check:
            trials = sum(len(claim.trials) for claim in claims.claims)
            print(f"{args.claims}: {len(claims.claims)} claims, {trials} tests, no mistake found")
            return 0
        rows = judge(claims, read_tables(args.tables))
    except (ClaimsError, FileNotFoundError) as error:
        print(f"verdicts.py: {error}", file=sys.stderr)
        return 2
    write_verdicts(args.out, rows, claims)
    for row in rows:
        if row["part"] == "":
            print(f"{row['claim']:24} {row['protocol']:10} {row['verdict']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
