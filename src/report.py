#!/usr/bin/env python3
"""Make the report: one HTML file that works offline."""

import argparse
import sys
from pathlib import Path


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        description="Run the report notebook (workflow/notebooks/report.ipynb) on the result tables with papermill and "
        "turn it into one HTML file: verdicts, results, figures, samples, what failed, provenance. The file holds "
        "everything it shows and asks the network for nothing.",
        epilog="example: python src/report.py --tables results/tables --verdicts results/verdicts.csv "
        "--figures results/figures --out results/report.html",
    )
    parser.add_argument("--tables", type=Path, default=Path("results/tables"), metavar="DIR",
                        help="folder with the result tables (default: %(default)s)")  # fmt: skip
    parser.add_argument("--verdicts", type=Path, default=Path("results/verdicts.csv"), metavar="FILE",
                        help="verdicts as .csv or .json (default: %(default)s)")  # fmt: skip
    parser.add_argument("--figures", type=Path, default=Path("results/figures"), metavar="DIR",
                        help="folder with what src/figures.py drew (default: %(default)s)")  # fmt: skip
    parser.add_argument("--config", type=Path, metavar="JSON",
                        help="resolved configuration with provenance: names, runs asked for (optional)")  # fmt: skip
    parser.add_argument("--style", type=Path, metavar="YAML", help="colours and markers (default: report/style.yaml)")
    parser.add_argument("--dag", type=Path, metavar="JSON", help="the rules and their arrows (optional)")
    parser.add_argument("--out", type=Path, default=Path("results/report.html"), metavar="FILE",
                        help="the page (default: %(default)s)")  # fmt: skip
    parser.add_argument("--keep-notebook", type=Path, metavar="FILE", help="also save the executed notebook here")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command line; 0 when the page was written, 1 when the notebook failed, 2 when the input was wrong."""
    args = arguments().parse_args(argv)
    from seqscale.reporting.publish import publish

    def warn(words: str) -> None:
        print(f"report: warning: {words}", file=sys.stderr)

    try:
        out = publish(tables=args.tables, verdicts=args.verdicts, figures=args.figures, config=args.config,
                      style=args.style, dag=args.dag, out=args.out, keep_notebook=args.keep_notebook,
                      warn=warn)  # fmt: skip
    except (OSError, ValueError) as error:
        print(f"report: {error}", file=sys.stderr)
        return 2
    except RuntimeError as error:
        print(f"report: the notebook stopped. {error}", file=sys.stderr)
        return 1
    print(f"report: {out} ({out.stat().st_size / 1e6:.1f} MB, one file, works offline)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
