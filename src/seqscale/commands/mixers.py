"""`seqscale mixers`: which there are; `seqscale mixers --new NAME`: a file to begin with."""

import argparse
import re
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
        "List the mixers with their options; or write a new one's file from the template: a small mixer that works\n"
        "and passes `seqscale check`, to be changed into yours.",
        EXAMPLES,
    )
    p.add_argument("--new", metavar="NAME", help="write NAME.py from the template")
    p.add_argument("--to", metavar="DIR", help="folder for it (default: src/seqscale/mixers of this package)")
    p.set_defaults(work=work)


def work(args: argparse.Namespace) -> int:
    if args.new:
        return _begin(args.new, args.to, args.json)
    from seqscale.config.mixer_options import mixers, options
    from seqscale.plugins import mixer_file

    rows = [{"name": name, "options": options(name), "file": str(mixer_file(name))} for name in mixers()]
    if args.json:
        show_json(rows)
    else:
        show_table(("mixer", "options"), ((r["name"], ", ".join(f"{k} ({t})" for k, t in r["options"].items()))  # type: ignore[attr-defined]
                                          for r in rows))  # fmt: skip
    return 0


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
