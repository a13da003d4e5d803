"""`seqscale completion SHELL`: a completion script, by shtab."""

import argparse
from typing import Any

SHELLS = ("bash", "zsh", "tcsh")
HELP = """\
  eval "$(seqscale completion bash)"                 in ~/.bashrc
  seqscale completion zsh > ~/.zfunc/_seqscale       a folder of zsh's fpath
"""


def add(subparsers: Any) -> None:
    p = subparsers.add_parser(
        "completion",
        help="a completion script for bash, zsh or tcsh",
        description="Print a completion script for your shell.",
        epilog=f"examples:\n{HELP}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("shell", choices=SHELLS)
    p.set_defaults(work=work)


def work(args: argparse.Namespace) -> int:
    import shtab

    from seqscale.commands.main import parser

    print(shtab.complete(parser(), shell=args.shell))
    return 0
