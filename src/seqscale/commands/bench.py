"""`seqscale bench NAME`: one benchmark suite for models, or for a mixer by itself, in the terminal."""

import argparse
import sys
from pathlib import Path
from typing import Any

from seqscale.commands.common import checkout, show_json, show_table, subcommand

EXAMPLES = """\
  seqscale bench                                     forward time of the quick start's models
  seqscale bench mamba transformer --suite decode --lengths 128 1024
  seqscale bench my_mixer --suite flops --json       a mixer that no model has yet
  seqscale bench --configfile config/mine.yaml       the models and the suite `prefill` of that configuration
  seqscale bench --configfile config/mine.yaml mine  only this one of them
"""
LENGTHS = [64, 256, 1024]
BARE = {"d_model": 64, "n_layers": 2, "norm": "rmsnorm"}  # the model around a mixer that no model is named after


def add(subparsers: Any) -> None:
    p = subcommand(
        subparsers,
        "bench",
        "measure a model: prefill, decode, train_step, memory, flops",
        "Measure models with one suite, on this machine, as the pipeline does. Timings mean something only on a\n"
        "machine that does nothing else meanwhile. With --configfile, models and the suite's settings are those of\n"
        "that configuration, and NAMEs take some of its models; what is said here goes before.",
        EXAMPLES,
    )
    theirs = "default: the configuration's, else"
    alone = f"measured in {BARE['n_layers']} layers of width {BARE['d_model']}"
    p.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"models of config/models.yaml or of the configuration; or a mixer, {alone} (default: the models under "
        "`benchmarks:`)",
    )
    p.add_argument("--configfile", type=Path, metavar="YAML", help="configuration (default: config/config.yaml)")
    p.add_argument(
        "--suite",
        default="prefill",
        help="prefill, decode, train_step, memory, flops, or a suite of the configuration (default: %(default)s)",
    )
    lengths = " ".join(map(str, LENGTHS))
    p.add_argument("--lengths", type=int, nargs="+", metavar="N", help=f"tokens ({theirs} {lengths})")
    p.add_argument("--batch", type=int, metavar="N", help=f"sequences side by side ({theirs} 1)")
    p.add_argument("--repeats", type=int, metavar="N", help=f"at least ({theirs} 7)")
    p.add_argument("--device", help=f"auto, cpu, cuda ({theirs} auto)")
    p.add_argument("--threads", type=int, metavar="N", help=f"of PyTorch on a CPU ({theirs} 1)")
    p.set_defaults(work=work)


def work(args: argparse.Namespace) -> int:
    from seqscale.benchmarks import BenchConfig, CountMismatch, run_suite

    matrix = _matrix(args.configfile, checkout())
    rows: list[dict[str, Any]] = []
    for values in [_values(matrix, name, args) for name in args.names or _default_names(matrix, args)]:
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


def _matrix(file: Path | None, root: Path) -> Any:
    """The jobs of a configuration, by default the quick start's."""
    from seqscale.config import Matrix, resolve
    from seqscale.config.errors import Source

    file = file or root / "config" / "config.yaml"
    return Matrix(resolve(Source(file).values or {}, [file], root))


def _default_names(matrix: Any, args: argparse.Namespace) -> list[str]:
    """The models that the configuration benchmarks with the suite; where it benchmarks none, all that it trains."""
    from seqscale.config.suites import SCAN, models_of

    bench = matrix.config.values.get("benchmarks")
    if bench:
        named = models_of(args.suite, bench) if args.suite in bench["suites"] else bench["models"]
        return [name for name in named if name != SCAN]
    return list(dict.fromkeys(m for x in matrix.experiments.values() for m in x["models"]))


def _values(matrix: Any, name: str, args: argparse.Namespace) -> dict[str, Any]:
    """What `BenchConfig.from_dict` takes: the configuration's suite if it was asked for, then the command line."""
    from seqscale.config.suites import ONLY_AS_PUBLISHED

    bench = matrix.config.values.get("benchmarks") or {"suites": {}}
    if args.configfile and args.suite in bench["suites"]:
        values = matrix.bench_config(args.suite, bench["models"][0])
        if "model" not in values:
            raise ValueError(f"the suite {args.suite!r} measures scans alone, without a model: run it by the pipeline")
    else:
        values = {"suite": args.suite, "settings": {"batch": 1, "lengths": LENGTHS}, "repeats": 7, "threads": 1,
                  "device": matrix.config.values["compute"]["device"] if args.configfile else "auto"}  # fmt: skip
    values["model"] = _model(matrix, name)
    if values["model"].get("published") and values.get("kind", args.suite) != "as_published":
        raise ValueError(ONLY_AS_PUBLISHED.format(name))
    said = {key: getattr(args, key) for key in ("repeats", "device", "threads") if getattr(args, key) is not None}
    settings = dict(values["settings"])
    if args.lengths:
        settings["lengths"] = args.lengths
    if args.batch:
        settings = {**{key: value for key, value in settings.items() if key != "fill"}, "batch": args.batch}
    return {**values, **said, "settings": settings}


def _model(matrix: Any, name: str) -> dict[str, Any]:
    """A model of the configuration; or a plain one around the mixer of that name.

    Raises:
        ValueError: there is neither.
    """
    from seqscale.config.errors import nearest
    from seqscale.config.mixer_options import mixers

    if name in matrix.config.models:
        return matrix.model_config(name)
    if name in mixers():
        return {"name": name, "mixer": name, **BARE}
    known = [name for name, model in matrix.config.models.items() if not model["published"]]
    raise ValueError(
        f"there is no model {name!r} in config/models.yaml or the configuration, and no mixer of that name"
        f"{nearest(name, [*known, *mixers()])} Models: {', '.join(known)}. Mixers: {', '.join(mixers())}"
    )


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else (None if str(value) == "<NA>" else value)


def _cell(value: Any) -> str:
    if value is None or str(value) == "<NA>":
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
