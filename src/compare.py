#!/usr/bin/env python3
"""Two runs side by side as one HTML page (and a table): what differs by more than noise is marked."""

import argparse
import sys
from pathlib import Path


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        description="Put two runs side by side: test results, benchmarks, fitted exponents and verdicts that both "
        "have. A run is a results folder, a folder of committed tables (results/reference/NAME) or a report.html, "
        "which carries its tables. What differs by more than noise is marked, on the page and in the CSV beside it.",
        epilog="example: python src/compare.py --a results --b results/reference/h200 --out results/compare.html",
    )
    parser.add_argument("--a", required=True, metavar="RUN", help="the one run")
    parser.add_argument("--b", required=True, metavar="RUN", help="the other")
    parser.add_argument("--out", type=Path, default=Path("results/compare.html"), metavar="FILE",
                        help="the page; the table lies beside it as .csv (default: %(default)s)")  # fmt: skip
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command line; 0 when the page was written, 2 when a run cannot be read or the two share nothing."""
    args = arguments().parse_args(argv)
    from seqscale.files import atomic_write
    from seqscale.reporting.comparing import compare, load_run
    from seqscale.reporting.publish import publish_comparison
    from seqscale.reporting.reruns import told
    from seqscale.reporting.source import records

    try:
        frame = compare(load_run(args.a), load_run(args.b), (args.a, args.b))
        if frame.empty:
            raise ValueError(f"{args.a} and {args.b} have no number in common: other experiments, models or suites.")
        with atomic_write(args.out.with_suffix(".csv")) as path:
            frame.to_csv(path, index=False)
        publish_comparison(frame, args.out)
    except (OSError, ValueError) as error:
        print(f"compare: {error}", file=sys.stderr)
        return 2
    different = int((frame["differs"] == "yes").sum())
    print(f"compare: {args.out}: {len(frame)} numbers in both, {different} differ by more than noise")
    if words := told(records(frame)):
        print(f"compare: {words}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
