"""What the scripts in src/ share: arguments, a log on stderr, and errors without a traceback."""

import argparse
import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


def parser(description: str, epilog: str = "") -> argparse.ArgumentParser:
    """An argument parser that keeps the layout of its texts."""
    return argparse.ArgumentParser(
        description=description, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def json_argument(text: str) -> Any:
    """An argument that is JSON, or @FILE with JSON in it.

    Raises:
        argparse.ArgumentTypeError: neither; says where the JSON breaks off.
    """
    try:
        if text.startswith("@"):
            text = Path(text[1:]).read_text(encoding="utf-8")
        return json.loads(text)
    except OSError as error:
        raise argparse.ArgumentTypeError(f"cannot read {text[1:]}: {error.strerror}") from error
    except json.JSONDecodeError as error:
        raise argparse.ArgumentTypeError(f"not valid JSON ({error}); give JSON or @FILE") from error


def main(work: Callable[[], int | None]) -> None:
    """Run a script: log to stderr; a ValueError or OSError is told in its own words, with exit status 2."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stderr)
    try:
        status = work() or 0
    except (ValueError, OSError) as error:
        print(f"{Path(sys.argv[0]).name}: {error}", file=sys.stderr)
        status = 2
    sys.exit(status)
