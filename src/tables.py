#!/usr/bin/env python3
"""Gather the files of all runs, searches and benchmarks into tidy tables, one row per measurement.

Written: runs, history, search, bench, scaling (fitted exponents), samples and models, each as .csv and .parquet.
Which files are read is decided by the run matrix and not by what lies in the folder:

  {"runs":   [{"experiment": "text", "model": "mamba", "seed": 1}],
   "search": [{"experiment": "text", "model": "mamba", "lr": "0.001"}],
   "bench":  [{"suite": "prefill", "model": "mamba"}]}

Example:
  python src/tables.py --results results --config results/matrix.json --out results/tables
"""

import argparse
import sys

from seqscale.tables import TablesError, collect, load_matrix, write_tables


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", required=True, metavar="DIR", help="folder with runs/, search/ and bench/ in it")
    parser.add_argument("--config", required=True, metavar="JSON", help="the run matrix (form: see above)")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for the tables; made if need be")
    parser.add_argument(
        "--allow-missing",
        action="store_true",
        help="a run or benchmark without files becomes a row with status 'missing' and a reason, not an error "
        "(broken files are an error always)",
    )
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Make the tables; 0 if made, 2 if files are missing or broken (nothing is written then)."""
    args = parse_arguments(arguments)
    try:
        tables = collect(args.results, load_matrix(args.config), allow_missing=args.allow_missing)
    except TablesError as error:
        print(f"tables.py: {error}", file=sys.stderr)
        return 2
    write_tables(args.out, tables)
    for name, table in tables.items():
        print(f"{name}: {len(table)} rows")
    failed = tables["runs"][tables["runs"]["status"] != "ok"]
    for row in failed.itertuples():
        print(f"note: {row.experiment}/{row.model}/seed{row.seed}: {row.status} ({row.reason})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
