#!/usr/bin/env python3
"""Make the report of whatever is there, after a run that failed, was killed or lost files. Nothing is trained.

What is missing is named on the page, in results/tables/missing.csv and here, as warnings; the exit status is 0 all the
same. Snakemake runs this when a job failed; by hand it is `make report`. The next whole run replaces what it made.

Example:
  python src/partial.py --results results --config results/config.json
"""

import argparse
import sys
from pathlib import Path

from seqscale.claims import ClaimsError, judge, load_claims, read_tables, write_verdicts
from seqscale.files import read_json, write_text
from seqscale.tables import TablesError, load_matrix, write_tables
from seqscale.tables.salvage import salvage

ROOT = Path(__file__).resolve().parent.parent


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="(default: %(default)s)")
    parser.add_argument("--config", type=Path, metavar="JSON", help="the resolved configuration with the list of all "
                        "jobs (default: config.json of the results)")  # fmt: skip
    parser.add_argument("--claims", type=Path, default=ROOT / "config" / "claims.yaml", metavar="YAML",
                        help="the claims file (default: config/claims.yaml)")  # fmt: skip
    parser.add_argument("--compare", metavar="RUN", help="another run to stand beside this one")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command line; 0 when the page was written, 2 when not even that could be done."""
    args = arguments().parse_args(argv)
    results, config = args.results, args.config or args.results / "config.json"
    tables = results / "tables"
    try:
        made, unread = salvage(results, load_matrix(config))
        write_tables(tables, made)
        for name in made:  # no parquet twins: the next run sees that tables are not whole, and makes what is missing
            (tables / f"{name}.parquet").unlink()
        claims = load_claims(args.claims, ROOT / "workflow" / "schemas" / "claims.schema.yaml")
        write_verdicts(results, judge(claims, read_tables(tables)), claims)
    except (ClaimsError, TablesError, OSError, ValueError) as error:
        print(f"partial: {error}", file=sys.stderr)
        return 2
    write_text(tables / "unread.txt", "".join(f"{line}\n" for line in unread))
    return _report(results, config, args.compare)


def _report(results: Path, config: Path, other: str | None) -> int:
    """The later stages, each by its own command line, so that a partial report is made as a whole one is."""
    import digest
    import figures
    import report

    tables, verdicts = str(results / "tables"), str(results / "verdicts.csv")
    dag = results / "dag.json"
    drawn = ["--dag", str(dag)] if dag.is_file() else []
    common = ["--tables", tables, "--config", str(config)]
    compared = ["--compare", other] if other else []
    unread = results / "tables" / "unread.txt"
    try:
        status = digest.main([*common, "--verdicts", verdicts, "--jobs", str(results / "jobs"), "--data",
                              str(results / "data"), "--checkpoints", str(results / "checkpoints"), "--out", tables,
                              "--unread", str(unread), *compared])  # fmt: skip
    finally:
        unread.unlink(missing_ok=True)
    status = status or figures.main([*common, "--out", str(results / "figures")])
    status = status or report.main([*common, "--verdicts", verdicts, "--figures", str(results / "figures"), "--out",
                                    str(results / "report.html"), *drawn])  # fmt: skip
    if status == 0:
        count = len(read_json(config).get("runs") or [])
        print(f"partial: {results / 'report.html'} shows what is there of {count} runs; what is missing is named in it")
    return status


if __name__ == "__main__":
    sys.exit(main())
