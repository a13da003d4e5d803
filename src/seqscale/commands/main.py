"""`seqscale`: parse, find the subcommand, turn errors into words and an exit status."""

import argparse
import importlib
import importlib.util
import os
import sys
from collections.abc import Sequence

from seqscale import __version__
from seqscale.commands import bench, check, completion, evaluate, export, mixers, report, run, verdicts

EPILOG = """\
exit status:
  0  done
  1  the answer is no: a check failed, a run failed, a count is wrong
  2  the request could not be understood or met; the message says what to do
"""


def parser() -> argparse.ArgumentParser:
    """The whole command line. Heavy libraries are loaded by the subcommands that need them, not for --help."""
    p = argparse.ArgumentParser(
        prog="seqscale",
        description="Published 'Mamba against Transformer' claims, put to the test; and a bench for your own mixer.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--version", action="version", version=f"seqscale {__version__}")
    subparsers = p.add_subparsers(title="subcommands", metavar="COMMAND", required=True)
    for module in (run, check, mixers, bench, verdicts, report, export, evaluate):
        module.add(subparsers)
    if _audit_is_there():
        audit = subparsers.add_parser(
            "audit", help="are results what their inputs, code and config say", add_help=False
        )
        audit.set_defaults(work=None)
    completion.add(subparsers)
    return p


def _audit_is_there() -> bool:
    return importlib.util.find_spec("seqscale.audit") is not None


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["audit"] and _audit_is_there():  # it has a command line of its own
        return importlib.import_module("seqscale.audit").main(arguments[1:])
    args = parser().parse_args(arguments)
    try:
        return args.work(args)
    except (ValueError, OSError, ModuleNotFoundError) as error:
        if isinstance(error, BrokenPipeError):  # `seqscale ... | head`: whoever read has had enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        advice = ""
        if isinstance(error, ModuleNotFoundError):
            advice = " (the pipeline's packages come with `pip install 'seqscale[pipeline]'`)"
        print(f"seqscale: {error}{advice}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("seqscale: interrupted", file=sys.stderr)
        return 130
