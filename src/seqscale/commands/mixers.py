"""`seqscale mixers`: which there are; `seqscale mixers --new NAME`: a file to begin with."""

import argparse
import inspect
import re
import sys
from importlib import resources
from pathlib import Path
from typing import Any

from seqscale.commands.common import show_json, show_table, subcommand
from seqscale.plugins import own_mixers

EXAMPLES = """\
  seqscale mixers
  seqscale mixers --new gated_ema                    src/seqscale/mixers/gated_ema.py, ready to be changed
  seqscale mixers --new gated_ema --to my_package/   the same file for a package of your own
"""


def add(subparsers: Any) -> None:
    p = subcommand(
        subparsers,
        "mixers",
        "list the mixers, or begin a new one from a template",
        "List the mixers with their options; one that cannot be loaded is named with the cause (exit status 1).\n"
        "Or write a new one's file from the template: a small mixer that works and passes `seqscale check`, to be\n"
        "changed into yours.",
        EXAMPLES,
    )
    p.add_argument("--new", metavar="NAME", help="write NAME.py from the template")
    p.add_argument("--to", metavar="DIR", help="folder for it (default: src/seqscale/mixers of this package)")
    p.set_defaults(work=work)


def work(args: argparse.Namespace) -> int:
    if args.new:
        return _begin(args.new, args.to, args.json)
    from seqscale.mixers import available

    rows = [_row(name) for name in available()]
    broken = [row for row in rows if "error" in row]
    if args.json:
        show_json(rows)
    else:
        good = [row for row in rows if "error" not in row]
        show_table(("mixer", "options"), ((r["name"], ", ".join(f"{k} ({t})" for k, t in r["options"].items()))
                                          for r in good))  # fmt: skip
        for row in broken:
            print(f"seqscale: the mixer {row['name']!r} is broken: {row['error']}", file=sys.stderr)
    return 1 if broken else 0


def _row(name: str) -> dict[str, Any]:
    """A mixer's file and options, or what is wrong with it."""
    from seqscale.mixers import get
    from seqscale.plugins import mixer_file

    try:
        options = list(inspect.signature(get(name)).parameters.values())[1:]  # loaded: its imports, too, may be broken
    except ValueError as error:
        return {"name": name, "error": str(error)}
    hints = {option.name: option.annotation for option in options}
    said = {key: "any" if hint is inspect.Parameter.empty else inspect.formatannotation(hint)
            for key, hint in hints.items()}  # fmt: skip
    return {"name": name, "options": said, "file": str(mixer_file(name))}


def _begin(name: str, to: str | None, as_json: bool) -> int:
    import seqscale.mixers

    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise ValueError(f"{name!r} cannot name a mixer: lower-case letters, digits and underscores, a letter first")
    if name in own_mixers():
        raise ValueError(f"there is a mixer {name!r} already")
    folder = Path(to) if to else Path(next(iter(seqscale.mixers.__path__)))
    file = folder / f"{name}.py"
    if file.exists():
        raise ValueError(f"{file} is there already")
    template = resources.files("seqscale.commands").joinpath("mixer_template.txt").read_text(encoding="utf-8")
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(template.replace("CLASS", "".join(p.title() for p in name.split("_"))), encoding="utf-8")
    if as_json:
        show_json({"file": str(file)})
    else:
        print(f"{file}\nNext: make it yours, then  seqscale check {name if to is None else file}")
    return 0
