#!/usr/bin/env python
"""Evaluate a checkpoint of transformers by the pipeline's own measure and write a tidy table.

Texts: the test split, in windows that each start afresh, at several context lengths: loss, perplexity, bits per byte
(which can be compared between tokenizers), accuracy. Recall: sequences generated from the checkpoint's own vocabulary.
"""

import json
from typing import Any

import pandas as pd
import torch

from seqscale.cli import json_argument, main, parser
from seqscale.data.corpora import load
from seqscale.data.corpus import load_splits
from seqscale.data.fetch import DOWNLOADS
from seqscale.data.splits import split_text
from seqscale.devices import resolve_device, resolve_precision
from seqscale.files import atomic_write
from seqscale.hub.checkpoint import from_pretrained
from seqscale.hub.evaluation import default_contexts, describe, encode, evaluate_recall, evaluate_text
from seqscale.provenance import provenance

COLUMNS = ("checkpoint", "path", "mixer", "d_model", "n_layers", "params", "params_nonembedding", "task", "dataset",
           "length", "quantity", "value", "unit", "count", "device", "git_commit")  # fmt: skip


def test_text(name: str, spec: dict[str, Any], mirror: str | None) -> str:
    """The test split of a corpus, as text."""
    if spec["kind"] == "corpus":
        return load_splits(name, spec, mirror, DOWNLOADS)["test"]
    return split_text(load(spec, mirror).text, spec["split"])["test"]


def work() -> None:
    p = parser(
        __doc__ or "",
        "example:\n"
        '  python src/checkpoint.py --name mine --spec \'{"path": "my-mamba", "recall": [64]}\' --out mine.csv',
    )
    p.add_argument("--name", required=True, help="what the table calls it")
    p.add_argument("--spec", required=True, type=json_argument, help="path, contexts, recall: as JSON or @FILE")
    p.add_argument("--texts", type=json_argument, default={}, help="entries of datasets.yaml by name, as JSON or @FILE")
    p.add_argument("--compute", type=json_argument, default={}, help="device, threads, precision (default: auto)")
    p.add_argument("--mirror", help="folder of local copies of corpora")
    p.add_argument("--out", required=True, help="CSV file to write")
    a = p.parse_args()
    torch.set_num_threads(a.compute.get("threads", 1))
    device = resolve_device(a.compute.get("device", "auto"))
    precision = resolve_precision(a.compute.get("precision", "auto"), device)
    model = from_pretrained(a.spec["path"], device=device)
    rows = []
    for name, spec in a.texts.items():
        text = test_text(name, spec, a.mirror)
        tokens = encode(a.spec["path"], text)
        contexts = a.spec.get("contexts") or default_contexts(model, len(tokens))
        rows += [{"dataset": name, **row} for row in evaluate_text(model, tokens, text, contexts, precision)]
    rows += evaluate_recall(model, a.spec.get("recall") or [], precision=precision)
    origin = {"device": device.type, "git_commit": provenance()["git_commit"]}
    about = {"checkpoint": a.name, "path": a.spec["path"], **describe(model), **origin}
    table = pd.DataFrame([{**about, **row} for row in rows], columns=list(COLUMNS))
    with atomic_write(a.out) as temporary:
        table.to_csv(temporary, index=False)
    print(json.dumps({"rows": len(table), "out": a.out}))


if __name__ == "__main__":
    main(work)
