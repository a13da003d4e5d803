"""`seqscale evaluate CHECKPOINT`: a checkpoint's perplexity and recall, by the pipeline's own measure."""

import argparse
from pathlib import Path
from typing import Any

from seqscale.commands.common import show_json, show_table, subcommand

EXAMPLES = """\
  seqscale evaluate my-mamba --text book.txt
  seqscale evaluate state-spaces/mamba-130m-hf --text book.txt --contexts 2048 8192 --recall 256 1024
"""


def add(subparsers: Any) -> None:
    p = subcommand(
        subparsers,
        "evaluate",
        "perplexity and recall of a checkpoint of transformers",
        "Evaluate a checkpoint (a folder, or a name on the hub) on a text, at several context lengths, and on recall\n"
        "tasks generated from its own vocabulary. In a configuration the same is one line: checkpoints: {NAME: PATH}.",
        EXAMPLES,
    )
    p.add_argument("checkpoint", metavar="CHECKPOINT", help="folder, or OWNER/NAME on the hub")
    p.add_argument("--text", type=Path, metavar="FILE", help="a UTF-8 text")
    p.add_argument("--contexts", type=int, nargs="+", metavar="N", help="tokens (default: 128, 512, 2048, 8192)")
    p.add_argument("--recall", type=int, nargs="*", metavar="N", help="lengths of recall tasks (default: 64 256)")
    p.add_argument("--device", default="auto", help="auto, cpu, cuda (default: %(default)s)")
    p.set_defaults(work=work)


def work(args: argparse.Namespace) -> int:
    from seqscale.devices import resolve_device
    from seqscale.hub.checkpoint import from_pretrained
    from seqscale.hub.evaluation import default_contexts, encode, evaluate_recall, evaluate_text

    if args.text is None and args.recall is None:
        raise ValueError("say what to evaluate on: --text FILE, or --recall")
    model = from_pretrained(args.checkpoint, device=resolve_device(args.device))
    rows: list[dict[str, Any]] = []
    if args.text is not None:
        text = args.text.read_text(encoding="utf-8")
        tokens = encode(args.checkpoint, text)
        if len(tokens) < 2:
            raise ValueError(f"{args.text} is empty or has a single token")
        rows += evaluate_text(model, tokens, text, args.contexts or default_contexts(model, len(tokens)))
    if args.recall is not None:
        rows += evaluate_recall(model, args.recall or [64, 256])
    if args.json:
        show_json(rows)
    else:
        columns = ("task", "length", "quantity", "value", "unit", "count")
        show_table(columns, ([f"{row[c]:.4f}" if c == "value" else row[c] for c in columns] for row in rows))
    return 0
