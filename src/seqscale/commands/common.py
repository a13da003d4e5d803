"""What subcommands share: the checkout they work in, tables for people, JSON for programs."""

import argparse
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any


def subcommand(subparsers: Any, name: str, help: str, description: str, examples: str = "") -> argparse.ArgumentParser:
    """A subcommand's parser, with `--json`."""
    p = subparsers.add_parser(
        name,
        help=help,
        description=description,
        epilog=f"examples:\n{examples}" if examples else None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--json", action="store_true", help="one JSON document on standard output, for programs")
    return p


def checkout() -> Path:
    """The folder with the Snakefile: the working directory or the nearest one above it.

    Raises:
        ValueError: there is none.
    """
    here = Path.cwd().resolve()
    for folder in (here, *here.parents):
        if (folder / "Snakefile").is_file() and (folder / "workflow" / "rules").is_dir():
            return folder
    raise ValueError(
        f"{here} is not in a checkout of SeqScale (no Snakefile here or above): the pipeline, its configuration and "
        "its claims are files there. Change into one: git clone, then cd"
    )


def show_json(value: Any) -> None:
    """One JSON document on standard output."""
    print(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


def show_table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Columns as wide as their widest entry; the last one as it is."""
    lines = [list(map(str, header)), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    for number, line in enumerate(lines):
        cells = [cell.ljust(width) for cell, width in zip(line[:-1], widths, strict=False)]
        print("  ".join([*cells, line[-1]]).rstrip())
        if number == 0:
            print("  ".join("-" * width for width in widths))


def options_argument(text: str) -> dict[str, Any]:
    """mixer_options as KEY=VALUE,KEY=VALUE; values are numbers, true, false or text.

    Raises:
        argparse.ArgumentTypeError: a part without "=".
    """
    options: dict[str, Any] = {}
    for part in filter(None, text.split(",")):
        key, equals, value = part.partition("=")
        if not equals:
            raise argparse.ArgumentTypeError(f"{part!r} is not KEY=VALUE")
        try:
            options[key.strip()] = json.loads(value)
        except json.JSONDecodeError:
            options[key.strip()] = value
    return options
