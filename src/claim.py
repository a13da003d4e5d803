#!/usr/bin/env python3
"""Judge one claim from the files of the runs and benchmarks that it rests on, without the rest of the pipeline.

Example:
  python src/claim.py --claim 000.order --results results --out results/claims/000.order.csv
"""

import argparse
import dataclasses
import sys
from pathlib import Path

import pandas as pd

from seqscale.claims import COLUMNS, ClaimsError, judge, load_claims
from seqscale.claims.needs import Needs, needs
from seqscale.files import atomic_write, read_json
from seqscale.tables import Matrix, TablesError, collect, load_matrix

ROOT = Path(__file__).resolve().parent.parent


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--claim", required=True, metavar="ID", help="as in the claims file, e.g. 001.scaling")
    parser.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="(default: %(default)s)")
    parser.add_argument("--config", type=Path, default=Path("results/config.json"), metavar="JSON",
                        help="the resolved configuration with the list of all jobs (default: %(default)s)")  # fmt: skip
    parser.add_argument("--claims", type=Path, default=ROOT / "config" / "claims.yaml", metavar="YAML",
                        help="the claims file (default: config/claims.yaml)")  # fmt: skip
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="its verdicts, in the form of verdicts.csv"
    )
    return parser


def only(matrix: Matrix, need: Needs) -> Matrix:
    """The part of the run matrix that a claim rests on."""
    pairs = {(experiment, model) for experiment, model, _ in need.runs}
    return dataclasses.replace(
        matrix,
        runs=tuple(r for r in matrix.runs if (r.experiment, r.model, r.seed) in need.runs),
        search=tuple(s for s in matrix.search if (s.experiment, s.model) in pairs),
        bench=tuple(b for b in matrix.bench if (b.suite, b.model) in need.bench),
    )


def main(argv: list[str] | None = None) -> int:
    """Run the command line; 0 when the claim was judged (whatever the verdict), 2 when the input cannot be used."""
    args = arguments().parse_args(argv)
    try:
        claims = load_claims(args.claims, ROOT / "workflow" / "schemas" / "claims.schema.yaml")
        mine = tuple(claim for claim in claims.claims if claim.id == args.claim)
        if not mine:
            known = ", ".join(claim.id for claim in claims.claims)
            raise ValueError(f"--claim {args.claim}: there is no such claim. There are: {known}.")
        need = needs(mine[0], read_json(args.config))
        # The search's own runs are no matter of a claim; the chosen rates (at the grid's edge or not) are.
        tables = collect(args.results, only(load_matrix(args.config), need), allow_missing=True)
        rows = judge(dataclasses.replace(claims, claims=mine), tables)
    except (ClaimsError, TablesError, OSError, ValueError) as error:
        print(f"claim: {error}", file=sys.stderr)
        return 2
    with atomic_write(args.out) as temporary:
        pd.DataFrame(rows, columns=list(COLUMNS)).to_csv(temporary, index=False, float_format="%.6g")
    for row in rows:
        print(f"{row['claim']} {row['protocol']} {row['part'] or ''}: {row['verdict']}. {row['reason']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
