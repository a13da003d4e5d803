#!/usr/bin/env python3
"""Make the tables that the figures and the report draw from: summaries, crossovers, claims, provenance, holes."""

import argparse
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from seqscale.claims import Claims, ClaimsError, load_claims
from seqscale.claims.margins import CURVES
from seqscale.claims.needs import needs
from seqscale.config import ConfigError, Matrix, resolve
from seqscale.files import read_json
from seqscale.reporting import claims as claim_tables
from seqscale.reporting.comparing import TABLE, compare, load_run
from seqscale.reporting.digest import digest, write_digest
from seqscale.reporting.published import published_table
from seqscale.reporting.source import load_tables, load_verdicts

ROOT = Path(__file__).resolve().parent.parent
DEFAULT = ROOT / "config" / "config.yaml"


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        description="Turn the result tables, the verdicts and the configuration into the tables of which the report "
        "consists: every number on the page stands in one of the tables. What is missing becomes rows of missing.csv "
        "and a warning, never an error.",
        epilog="example: python src/digest.py --tables results/tables --verdicts results/verdicts.csv "
        "--config results/config.json --claims config/claims.yaml --out results/tables",
    )
    parser.add_argument("--tables", type=Path, default=Path("results/tables"), metavar="DIR",
                        help="folder with the result tables (default: %(default)s)")  # fmt: skip
    parser.add_argument("--verdicts", type=Path, default=Path("results/verdicts.csv"), metavar="FILE",
                        help="verdicts (default: %(default)s)")  # fmt: skip
    parser.add_argument("--config", type=Path, metavar="JSON", help="resolved configuration with the list of all jobs")
    parser.add_argument("--claims", type=Path, default=ROOT / "config" / "claims.yaml", metavar="YAML",
                        help="the claims file (default: config/claims.yaml)")  # fmt: skip
    parser.add_argument("--jobs", type=Path, metavar="DIR", help="folder with time and memory of every job (optional)")
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder with the prepared corpora (optional)")
    parser.add_argument("--checkpoints", type=Path, metavar="DIR",
                        help="folder with the tables of evaluated checkpoints (optional)")  # fmt: skip
    parser.add_argument("--compare", metavar="RUN", help="another run to stand beside this one: a results folder, "
                        "results/reference/NAME, or a report")  # fmt: skip
    parser.add_argument("--unread", type=Path, metavar="FILE", help="list of files that could not be read, a line each")
    parser.add_argument("--out", type=Path, default=Path("results/tables"), metavar="DIR",
                        help="folder for the tables (default: %(default)s)")  # fmt: skip
    return parser


def _summary(file: Path) -> dict[str, object]:
    """The jobs of a configuration file; nothing where it cannot be resolved here (a corpus that is not at hand)."""
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
        return Matrix(resolve(values, [file], ROOT)).summary()
    except (ConfigError, OSError, yaml.YAMLError):
        return {}


def _rest(claims: Claims, summary: dict[str, object]) -> dict[str, tuple[int, int]]:
    found = {claim.id: needs(claim, summary) for claim in claims.claims}
    return {name: (len(need.runs), len(need.bench)) for name, need in found.items()}


def _claims(path: Path, config: dict[str, object]) -> dict[str, pd.DataFrame]:
    """The tables of claims and sources, and the printed curves."""
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    claims = load_claims(path, ROOT / "workflow" / "schemas" / "claims.schema.yaml")
    files = sorted(ROOT.glob("config/*.yaml"))
    shipped = {f: s for f in files if f.name in ("config.yaml", "full.yaml", "tiny.yaml") and (s := _summary(f))}
    mine = next((f for f, s in shipped.items() if s["name"] == config.get("name")), DEFAULT)
    others = [(str(f.relative_to(ROOT)), _rest(claims, s)) for f, s in shipped.items() if f.name != "tiny.yaml"]
    others = [("" if file == "config/config.yaml" else file, there) for file, there in others]
    own = "" if mine == DEFAULT else str(mine.relative_to(ROOT))
    return {
        "claim_table": claim_tables.claim_table(content, _rest(claims, config), own, others),
        "source_table": claim_tables.source_table(content),
        "published": published_table(content),
        "margins": claim_tables.margin_table(content, CURVES),
    }


def main(argv: list[str] | None = None) -> int:
    """Run the command line; 0 when the tables were written, 2 when the input cannot be used at all."""
    args = arguments().parse_args(argv)
    try:
        config = read_json(args.config) if args.config and args.config.is_file() else {}
        tables = load_tables(args.tables, config)
        told = _claims(args.claims, config)
        default: Any = _summary(DEFAULT).get("config")
        unread = args.unread.read_text(encoding="utf-8").splitlines() if args.unread else []
        made = digest(tables, load_verdicts(args.verdicts), config, default=default,
                      jobs=args.jobs, data=args.data, checkpoints=args.checkpoints, unread=unread, **told)  # fmt: skip
        if args.compare:
            here = load_run(args.tables)
            here.more["verdicts"] = made["verdicts"]
            made[TABLE] = compare(here, load_run(args.compare), ("this run", str(args.compare)))
        write_digest(args.out, made)
    except (ClaimsError, OSError, ValueError) as error:
        print(f"digest: {error}", file=sys.stderr)
        return 2
    grave = made["missing"][made["missing"]["kind"].isin(["run", "bench", "file", "table"])]
    for row in grave.itertuples():
        print(f"digest: warning: missing {row.kind}: {row.what}", file=sys.stderr)
    print(f"digest: {len(made)} tables in {args.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
