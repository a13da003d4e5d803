"""`seqscale export RUN FOLDER`: a trained run as a checkpoint that transformers opens."""

import argparse
from pathlib import Path
from typing import Any

from seqscale.commands.common import show_json, subcommand

EXAMPLES = """\
  seqscale export results/runs/text/mamba/seed1 my-mamba
  python -c 'from transformers import AutoModelForCausalLM; AutoModelForCausalLM.from_pretrained("my-mamba")'
"""


def add(subparsers: Any) -> None:
    p = subcommand(
        subparsers,
        "export",
        "a trained run as a checkpoint of transformers",
        "Write a finished run as AutoModelForCausalLM.from_pretrained opens it: weights (safetensors), config.json,\n"
        "tokenizer, model card. Models that transformers has: mamba, transformer (GPT-2), transformer_pp (Llama).",
        EXAMPLES,
    )
    p.add_argument("run", type=Path, metavar="RUN", help="results/runs/EXPERIMENT/MODEL/seedN")
    p.add_argument("out", type=Path, metavar="FOLDER", help="folder to write")
    p.add_argument("--data", type=Path, metavar="DIR", help="its prepared dataset (default: found beside the runs)")
    p.set_defaults(work=work)


def work(args: argparse.Namespace) -> int:
    from seqscale.hub import export_run

    said = export_run(args.run, args.out, args.data)
    if args.json:
        show_json({"folder": str(args.out), **said})
    else:
        print(f"{args.out}: {said['architecture']}, {said['parameters']:,} parameters ({', '.join(said['files'])})")
    return 0
