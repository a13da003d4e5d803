"""`seqscale bench MODEL`: one benchmark suite for one model, in the terminal."""

import argparse
from pathlib import Path
from typing import Any

from seqscale.commands.common import checkout, show_json, show_table, subcommand

EXAMPLES = """\
  seqscale bench mamba                               forward time against length
  seqscale bench mamba transformer --suite decode --lengths 128 1024
  seqscale bench mamba --suite flops --json
"""


def add(subparsers: Any) -> None:
    p = subcommand(
        subparsers,
        "bench",
        "measure a model: prefill, decode, train_step, memory, flops",
        "Measure models of config/models.yaml with one suite, on this machine, as the pipeline does. Timings mean\n"
        "something only on a machine that does nothing else meanwhile.",
        EXAMPLES,
    )
    p.add_argument("models", nargs="+", metavar="MODEL", help="names in config/models.yaml")
    p.add_argument(
        "--suite", default="prefill", help="prefill, decode, train_step, memory, flops (default: %(default)s)"
    )
    p.add_argument("--lengths", type=int, nargs="+", default=[64, 256, 1024], metavar="N", help="tokens")
    p.add_argument("--batch", type=int, default=1, metavar="N", help="sequences side by side (default: %(default)s)")
    p.add_argument("--repeats", type=int, default=7, metavar="N", help="at least (default: %(default)s)")
    p.add_argument("--device", default="auto", help="auto, cpu, cuda (default: %(default)s)")
    p.add_argument("--threads", type=int, default=1, metavar="N", help="of PyTorch on a CPU (default: %(default)s)")
    p.set_defaults(work=work)


def work(args: argparse.Namespace) -> int:
    import sys

    from seqscale.benchmarks import BenchConfig, CountMismatch, run_suite

    known = models_of(checkout())
    rows: list[dict[str, Any]] = []
    for name in args.models:
        if name not in known:
            raise ValueError(f"there is no model {name!r} in config/models.yaml; there are {', '.join(known)}")
        settings: dict[str, Any] = {"batch": args.batch, "lengths": args.lengths}
        values = {"suite": args.suite, "model": known[name], "settings": settings, "repeats": args.repeats,
                  "device": args.device, "threads": args.threads}  # fmt: skip
        try:
            table, _ = run_suite(BenchConfig.from_dict(values), resolved=values)
        except CountMismatch as error:
            print(f"seqscale: {error}", file=sys.stderr)
            return 1
        records = table.astype(object).to_dict("records")
        rows += [{str(key): None if value != value else value for key, value in row.items()} for row in records]
    if args.json:
        show_json([{k: _plain(v) for k, v in row.items()} for row in rows])
    else:
        columns = ("model", "implementation", "length", "direction", "quantity", "median", "p20", "p80", "unit")
        show_table(columns, ([_cell(row[c]) for c in columns] for row in rows))
    return 0


def models_of(root: Path) -> dict[str, dict[str, Any]]:
    """The models of config/models.yaml, as a benchmark takes them."""
    from seqscale.config import Matrix, resolve
    from seqscale.config.errors import Source

    file = root / "config" / "config.yaml"
    matrix = Matrix(resolve(Source(file).values or {}, [file], root))
    return {name: matrix.model_config(name) for name in matrix.config.models}


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else (None if str(value) == "<NA>" else value)


def _cell(value: Any) -> str:
    if value is None or str(value) == "<NA>":
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
