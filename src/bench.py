#!/usr/bin/env python3
"""Measure what a model costs: one suite, one model, every length."""

import argparse
import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

EXAMPLE = """\
the config, as JSON or as @FILE:
  {"suite": "prefill",
   "model": {"name": "mamba", "mixer": "mamba", "d_model": 64, "n_layers": 3, "norm": "rmsnorm",
             "mixer_options": {"d_state": 16}},              an entry of config/models.yaml, and its name
   "settings": {"batch": 1, "lengths": [128, 256, 512]},     decode also has "tokens": single steps timed
   "repeats": 7, "min_seconds": 0.2,                         the rest may be left out
   "device": "auto", "threads": 1, "precision": "auto", "vocab_size": 128}

suites:
  prefill     seconds of a forward over the whole sequence (eval and inference mode)
  decode      seconds per token for single tokens after a context of LENGTH tokens
  train_step  seconds of forward, backward and AdamW
  memory      peak bytes of a forward, of forward and backward; bytes of state after LENGTH tokens
  flops       operations counted while the model runs, checked against the closed form
  kernels     every selective scan there is, no model: "settings" are {"shapes": [[batch, d_inner, length], ...],
              "d_states": [16], "dtypes": ["float32"]}
"kind" names one of these where "suite" is a name of its own. "fill": TOKENS in place of "batch" keeps batch * length.

A length that does not fit into memory is a row with oom = True. Timings mean something only on a machine
that does nothing else meanwhile.

example:
  python src/bench.py --suite decode --out /tmp/decode --config \\
    '{"suite": "decode", "model": {"name": "lstm", "mixer": "lstm", "d_model": 64, "n_layers": 3},
      "settings": {"batch": 1, "lengths": [128, 512], "tokens": 16}}'
"""


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        description="Measure one model with one benchmark suite and write OUT.csv (one row per length and quantity) "
        "and OUT.json (provenance and notes).",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--suite", metavar="NAME",
                        help="the suite's name (default: what the config says)")  # fmt: skip
    parser.add_argument("--config", required=True, metavar="JSON", help="the job as JSON, or @FILE to read it from")
    parser.add_argument("--out", required=True, type=Path, metavar="STEM",
                        help="where to write, without suffix, e.g. results/bench/prefill/mamba")  # fmt: skip
    return parser


def read_config(text: str, suite: str | None) -> dict[str, Any]:
    """The JSON behind --config; `suite` must not contradict it.

    Raises:
        ValueError: not JSON, not an object, or another suite.
        OSError: the file cannot be read.
    """
    source = text[1:] if text.startswith("@") else "--config"
    body = Path(source).read_text(encoding="utf-8") if text.startswith("@") else text
    try:
        values = json.loads(body)
    except json.JSONDecodeError as error:
        raise ValueError(f"{source}, line {error.lineno}: not JSON ({error.msg})") from error
    if not isinstance(values, dict):
        raise ValueError(f"{source}: must be a JSON object with the keys suite, model and settings")
    if suite is not None and values.setdefault("suite", suite) != suite:
        raise ValueError(f"--suite says {suite!r}, {source} says {values['suite']!r}")
    return values


def main(argv: list[str] | None = None) -> int:
    """Run the command line; 0 when the files are written, 1 when a count is wrong, 2 when the input was wrong."""
    args = arguments().parse_args(argv)
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # before PyTorch is loaded: its profiler talks on stderr
    from seqscale.benchmarks import BenchConfig, CountMismatch, KernelsConfig, run_kernels, run_suite
    from seqscale.files import atomic_write, write_json

    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="bench: %(message)s")
    try:
        values = read_config(args.config, args.suite)
        if values.get("kind", values.get("suite")) == "kernels":
            table, beside = run_kernels(KernelsConfig.from_dict(values), resolved=values)
        else:
            table, beside = run_suite(BenchConfig.from_dict(values), resolved=values)
    except (OSError, ValueError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    except CountMismatch as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    csv = args.out.with_name(args.out.name + ".csv")
    write_json(args.out.with_name(args.out.name + ".json"), beside)
    with atomic_write(csv) as temporary:
        table.to_csv(temporary, index=False)
    print(f"bench: {csv} ({len(table)} rows)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
