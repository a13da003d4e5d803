"""`seqscale check NAME`: does a mixer hold what every mixer owes."""

import argparse
import importlib.util
import sys
from dataclasses import asdict
from pathlib import Path
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
    p.add_argument("--d-model", type=int, metavar="N", help="one width (default: 16, and 7 where it is taken)")
    p.add_argument("--options", type=options_argument, default={}, metavar="K=V,K=V", help="as in mixer_options")
    p.add_argument("--only", metavar="CHECK", help="one check alone (pieces, steps, causality, ...)")
    p.set_defaults(work=work)


def work(args: argparse.Namespace) -> int:
    from seqscale.checks import check_mixer
    from seqscale.mixers import available

    names = available() if args.all else args.names
    if not names:
        raise ValueError(f"name a mixer, or say --all; there are {', '.join(available())}")
    found: list[dict[str, Any]] = []
    for name in names:
        mixer = _from_file(name) if name.endswith(".py") else name
        outcomes = []
        for outcome in check_mixer(mixer, args.d_model, args.options, args.only):
            outcomes.append(outcome)
            if not args.json:
                if len(outcomes) == 1:
                    print(name)
                word = "ok    " if outcome.ok else "FAILED"
                print(f"  {word}  {outcome.check:<12} {outcome.meaning}  [{outcome.case}]")
                if not outcome.ok:
                    print(f"          {outcome.message}")
                sys.stdout.flush()
        found.append({"mixer": name, "ok": all(o.ok for o in outcomes), "outcomes": [asdict(o) for o in outcomes]})
    good = all(entry["ok"] for entry in found)
    if args.json:
        show_json({"ok": good, "mixers": found})
    else:
        failures = sum(not o["ok"] for entry in found for o in entry["outcomes"])
        total = sum(len(entry["outcomes"]) for entry in found)
        print(f"{total} checks, " + ("all hold" if good else f"{failures} failed"))
    return 0 if good else 1


def _from_file(path: str) -> Any:
    """The MIXER of a file."""
    from seqscale.mixers import Mixer

    file = Path(path)
    if not file.is_file():
        raise ValueError(f"there is no file {path}")
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ValueError(f"{path} cannot be loaded: {type(error).__name__}: {error}") from error
    mixer = getattr(module, "MIXER", None)
    if not (isinstance(mixer, type) and issubclass(mixer, Mixer)):
        raise ValueError(f"{path} must end with `MIXER = <a subclass of seqscale.mixers.Mixer>`")
    return mixer
