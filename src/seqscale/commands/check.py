"""`seqscale check NAME`: does a mixer hold what every mixer owes."""

import argparse
import sys
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from seqscale.commands.common import options_argument, show_json, subcommand

EXAMPLES = """\
  seqscale check mamba
  seqscale check mine.py                             a file that ends with MIXER = YourClass
  seqscale check mamba --d-model 5 --options d_state=3,expand=3
  seqscale check --all                               every mixer, those of installed packages too
"""


def add(subparsers: Any) -> None:
    p = subcommand(
        subparsers,
        "check",
        "check a mixer: three ways agree, causality, gradients, FLOPs, ...",
        "Try a mixer on everything that a mixer owes: forward, forward with a state and step agree; nothing looks\n"
        "ahead; rows do not meet; gradients equal finite differences; precisions agree; state bytes and FLOPs are as\n"
        "said. Exit status 1 if anything does not hold.",
        EXAMPLES,
    )
    p.add_argument("names", nargs="*", metavar="NAME", help="a mixer's name, or a .py file")
    p.add_argument("--all", action="store_true", help="every mixer that is there")
    p.add_argument("--d-model", type=int, metavar="N", help="one width (default: 16, or the next that it takes; and 7)")
    p.add_argument("--options", type=options_argument, default={}, metavar="K=V,K=V", help="as in mixer_options")
    p.add_argument("--only", metavar="CHECK", help="one check alone (pieces, steps, causality, ...)")
    p.set_defaults(work=work)


def work(args: argparse.Namespace) -> int:
    from seqscale.checks import Outcome, check_mixer
    from seqscale.mixers import available, from_file

    names = available() if args.all else args.names
    if not names:
        raise ValueError(f"name a mixer, or say --all; there are {', '.join(available())}")
    found: list[dict[str, Any]] = []
    for name in names:
        try:
            mixer = from_file(name) if name.endswith(".py") else name
            outcomes = _outcomes(name, check_mixer(mixer, args.d_model, args.options, args.only), args.json)
        except ValueError as error:
            if len(names) == 1:
                raise
            outcomes = [Outcome("class", "it can be made", "", False, str(error), 0.0)]  # the others are still checked
            if not args.json:
                print(f"{name}\n  FAILED  it cannot be made\n          {error}")
        found.append({"mixer": name, "ok": all(o.ok for o in outcomes), "outcomes": [asdict(o) for o in outcomes]})
    good = all(entry["ok"] for entry in found)
    if args.json:
        show_json({"ok": good, "mixers": found})
    else:
        failures = sum(not o["ok"] for entry in found for o in entry["outcomes"])
        total = sum(len(entry["outcomes"]) for entry in found)
        print(f"{total} checks, " + ("all hold" if good else f"{failures} failed"))
    return 0 if good else 1


def _outcomes(name: str, outcomes: Iterable[Any], quiet: bool) -> list[Any]:
    """All outcomes of one mixer, each printed as it comes."""
    found = []
    for outcome in outcomes:
        found.append(outcome)
        if quiet:
            continue
        if len(found) == 1:
            print(name)
        word = "ok    " if outcome.ok else "FAILED"
        print(f"  {word}  {outcome.check:<12} {outcome.meaning}  [{outcome.case}]")
        if not outcome.ok:
            print(f"          {outcome.message}")
        sys.stdout.flush()
    return found
