#!/usr/bin/env python
"""Evaluate a trained run over the whole validation and test splits, once, and write metrics.json.

Text: loss (nats per token), perplexity, bits per character, and a sample. Tasks with answers: loss and accuracy, where
the task has `extrapolation` also at other lengths than the one trained at.
A run that diverged or ran out of memory gets a metrics.json that says so, without numbers.
"""

from pathlib import Path
from typing import Any

import torch

from seqscale.cli import main, parser
from seqscale.data import open_dataset
from seqscale.data.batches import SPLITS, SyntheticDataset, TextDataset
from seqscale.devices import resolve_device, resolve_precision
from seqscale.files import read_json, write_json
from seqscale.models import ModelSpec, build
from seqscale.provenance import digest, provenance
from seqscale.training import evaluate_lengths, evaluate_split, metrics, sample_text
from seqscale.training.checkpoint import load_tensors


def evaluate(folder: Path, data_folder: str, prompt: str | None, length: int) -> dict[str, Any]:
    summary = read_json(folder / "summary.json")
    run = summary["config"]
    result: dict[str, Any] = {"status": summary["status"], "reason": summary["reason"], "valid": None, "test": None}
    device = resolve_device(run["device"])
    origin = provenance(config_digest=digest(run), seed=run["seed"], device=str(device), threads=run["threads"])
    if summary["status"] != "ok":
        return {**result, "sample": None, "provenance": origin}
    torch.set_num_threads(run["threads"])
    data = open_dataset(data_folder)
    model = build(ModelSpec.from_dict(run["model"]), data.vocab_size, run["context"]).to(device)
    model.load_state_dict(load_tensors(folder / "model.safetensors")[0])
    precision = resolve_precision(run["precision"], device)
    for split in SPLITS[1:]:
        raw = evaluate_split(model, data, split, run["context"], device, precision)
        result[split] = metrics(raw, data.meta, split)
    sample = None
    if prompt and isinstance(data, TextDataset):
        sample = {"prompt": prompt, "text": sample_text(model, data.tokenizer, prompt, length, run["seed"])}
    if isinstance(data, SyntheticDataset) and data.long_lengths:
        result["lengths"] = evaluate_lengths(model, data, device, precision)
    return {**result, "sample": sample, "provenance": {**origin, "data_sha256": data.meta.get("sha256")}}


def work() -> None:
    p = parser(
        __doc__ or "",
        "example:\n  python src/evaluate.py --run results/runs/text/mamba/seed1 --data results/data/pydoc_topics",
    )
    p.add_argument("--run", required=True, type=Path, help="folder with model.safetensors and summary.json")
    p.add_argument("--data", required=True, help="folder that prepare.py made")
    p.add_argument("--out", type=Path, help="file to write (default: metrics.json in the run's folder)")
    p.add_argument("--prompt", help="text to continue as a sample (texts only; default: no sample)")
    p.add_argument("--length", type=int, default=200, help="characters of the sample (default: %(default)s)")
    a = p.parse_args()
    write_json(a.out or a.run / "metrics.json", evaluate(a.run, a.data, a.prompt, a.length))


if __name__ == "__main__":
    main(work)
