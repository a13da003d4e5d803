#!/usr/bin/env python
"""Evaluate a trained run over the whole validation and test splits, once, and write metrics.json.

Under the published protocol there is no validation, and where the run's config says `test_batches`, the test loss is
estimated as its source did: on that many random batches.

Text: loss (nats per token), perplexity, bits per character, and a sample. Tasks with answers: loss and accuracy, where
the task has `extrapolation` also at other lengths than the one trained at.
Labelled texts: loss and accuracy, confusion, accuracy by length, the second test set, and the answers to --probes.
A run that diverged or ran out of memory gets a metrics.json that says so, without numbers.
"""

from pathlib import Path
from typing import Any, cast

import torch

from seqscale.cli import main, parser
from seqscale.data import open_dataset
from seqscale.data.batches import SPLITS, LabelledDataset, SyntheticDataset, TextDataset
from seqscale.data.probes import Probes, load_probes
from seqscale.data.published_batches import estimate_batches
from seqscale.devices import resolve_device, resolve_precision
from seqscale.files import read_json, write_json
from seqscale.models import Classifier, LanguageModel
from seqscale.provenance import digest, provenance
from seqscale.training import evaluate_lengths, evaluate_split, metrics, model_for, sample_text, score
from seqscale.training.checkpoint import load_tensors
from seqscale.training.classification import answers, counts, probe, scores


def evaluate(
    folder: Path, data_folder: str, prompt: str | None, length: int, probes: Probes | None = None
) -> dict[str, Any]:
    summary = read_json(folder / "summary.json")
    run = summary["config"]
    result: dict[str, Any] = {"status": summary["status"], "reason": summary["reason"], "valid": None, "test": None}
    device = resolve_device(run["device"])
    origin = provenance(config_digest=digest(run), seed=run["seed"], device=str(device), threads=run["threads"])
    if summary["status"] != "ok":
        return {**result, "sample": None, "provenance": origin}
    torch.set_num_threads(run["threads"])
    data = open_dataset(data_folder)
    model = model_for(run, data).to(device)
    model.load_state_dict(load_tensors(folder / "model.safetensors")[0])
    precision = resolve_precision(run["precision"], device)
    origin["data_sha256"] = data.meta.get("sha256")
    if isinstance(data, LabelledDataset):
        classifier = cast(Classifier, model)  # or a source's own, whose face is the same
        details: dict[str, Any] = {"classes": data.classes, "splits": {}, "probes": None}
        for split in data.splits[1:]:
            found = answers(classifier, data, split, run["context"], device, precision)
            details["splits"][split] = counts(found, data.classes, data.meta["unanswerable"])
            result[split] = metrics(scores(found), data.meta, split)
        if probes is not None:
            details["probes"] = probe(classifier, data, probes, device, precision)
        return {**result, "sample": None, "labels": details, "provenance": origin}
    published = run["protocol"] == "published"
    for split in SPLITS[2:] if published else SPLITS[1:]:  # no source looked at a validation split
        if published and run["test_batches"]:
            raw = score(model, estimate_batches(data, run), device, precision)
        else:
            raw = evaluate_split(model, data, split, run["context"], device, precision)
        result[split] = metrics(raw, data.meta, split)
    sample = None
    if prompt and isinstance(data, TextDataset) and isinstance(model, LanguageModel):
        sample = {"prompt": prompt, "text": sample_text(model, data.tokenizer, prompt, length, run["seed"])}
    if isinstance(data, SyntheticDataset) and data.long_lengths:
        result["lengths"] = evaluate_lengths(model, data, device, precision)
    return {**result, "sample": sample, "provenance": origin}


def work() -> None:
    p = parser(
        __doc__ or "",
        "example:\n  python src/evaluate.py --run results/runs/text/mamba/seed1 --data results/data/pydoc_topics",
    )
    p.add_argument("--run", required=True, type=Path, help="folder with model.safetensors and summary.json")
    p.add_argument("--data", required=True, help="folder that prepare.py made")
    p.add_argument("--out", type=Path, help="file to write (default: metrics.json in the run's folder)")
    p.add_argument("--prompt", help="text to continue as a sample (texts only; default: no sample)")
    p.add_argument("--length", type=int, default=200, help="tokens of the sample (default: %(default)s)")
    p.add_argument("--probes", help="config/probes.yaml: texts to ask a classifier about (default: none)")
    a = p.parse_args()
    probes = load_probes(a.probes) if a.probes else None
    write_json(a.out or a.run / "metrics.json", evaluate(a.run, a.data, a.prompt, a.length, probes))


if __name__ == "__main__":
    main(work)
