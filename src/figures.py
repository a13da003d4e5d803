#!/usr/bin/env python3
"""Draw the figures from the result tables."""

import argparse
import sys
from pathlib import Path

from seqscale.reporting.catalog import ALL, EVIDENCE, FIGURES, KINDS


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        description="Draw every figure of the catalog from the result tables, each as SVG, PNG and CSV (the numbers "
        "drawn). A figure without data is drawn, too, and says what is missing. The same tables give the same bytes.",
        epilog="example: python src/figures.py --tables results/tables --out results/figures --only prefill_scaling",
    )
    parser.add_argument("--tables", type=Path, default=Path("results/tables"), metavar="DIR",
                        help="folder with runs, history, search, bench, scaling, samples and models, "
                        "as .csv or .parquet (default: %(default)s)")  # fmt: skip
    parser.add_argument("--out", type=Path, default=Path("results/figures"), metavar="DIR",
                        help="where NAME.svg, NAME.png and NAME.csv are written (default: %(default)s)")  # fmt: skip
    parser.add_argument("--config", type=Path, metavar="JSON",
                        help="resolved configuration, for the experiments' titles and order (optional)")  # fmt: skip
    parser.add_argument(
        "--claims", type=Path, metavar="YAML", help="claims file, for the figures as printed (optional)"
    )
    parser.add_argument("--style", type=Path, metavar="YAML", help="colours and markers (default: report/style.yaml)")
    parser.add_argument("--only", nargs="+", choices=ALL, metavar="NAME", help="draw only these figures")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS), metavar="KIND",
                        help="which of svg, png and csv to write (default: all)")  # fmt: skip
    parser.add_argument("--list", action="store_true", help="print the names, categories and titles, and stop")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command line; 0 when all figures were drawn, 2 when the input was wrong."""
    args = arguments().parse_args(argv)
    if args.list:
        width = max(map(len, ALL))
        for figure in (*FIGURES, *EVIDENCE):
            print(f"{figure.name:<{width}}  {figure.category:<17}  {figure.title}")
        return 0
    # Matplotlib and pandas take a second to load: not for --help and --list.
    from seqscale.files import read_json
    from seqscale.reporting.figures import draw_all
    from seqscale.reporting.source import load_tables
    from seqscale.reporting.style import load_style

    try:
        tables = load_tables(args.tables, read_json(args.config) if args.config else None, args.claims)
        made = draw_all(tables, load_style(args.style, tables.model_names), args.out, args.only or ALL, args.kinds)
    except (OSError, ValueError) as error:
        print(f"figures: {error}", file=sys.stderr)
        return 2
    for name in tables.missing:
        print(f"figures: no table called {name} in {args.tables}: figures that need it say so", file=sys.stderr)
    print(f"figures: {len(made)} drawn in {args.out} ({', '.join(args.kinds)})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
