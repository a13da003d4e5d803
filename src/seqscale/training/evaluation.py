"""Loss and accuracy over a whole split, every target once."""

import contextlib
import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqscale.data.batches import IGNORE, Batch, Dataset, LabelledBatch
from seqscale.training.processes import ALONE, Team

EVAL_TOKENS = 4096  # per batch: enough to keep a core busy, little enough for any memory
EVAL_LOGITS = 1 << 26  # likewise, for large vocabularies: 256 MiB in float32
GPU_SHARE = 8  # a GPU takes so many times more tokens at once


def rows_per_batch(context: int, vocab_size: int = 1, device: torch.device | None = None) -> int:
    """How many rows of `context` tokens are evaluated at once."""
    tokens = EVAL_TOKENS * (GPU_SHARE if device is not None and device.type == "cuda" else 1)
    return max(1, min(tokens, EVAL_LOGITS // vocab_size) // context)


def autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager[Any]:
    """bfloat16 autocast where `precision` is "bfloat16", else nothing."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bfloat16" else contextlib.nullcontext()


def logits_and_targets(
    model: nn.Module, batch: Batch | LabelledBatch, device: torch.device, precision: str
) -> tuple[Tensor, Tensor]:
    """What a model says of a batch and what it should have said: (targets, choices), float32, and (targets,).

    A language model has a target for every position, some of them IGNORE; a classifier one for every row.
    """
    with autocast(device, precision):
        if isinstance(batch, LabelledBatch):
            logits = model(_to(batch.inputs, device), _to(batch.lengths, device))
            return logits.float(), _to(batch.labels, device)
        logits = model(_to(batch.inputs, device))
    return logits.float().flatten(0, 1), _to(batch.targets, device).flatten()


def _to(array: np.ndarray | Tensor, device: torch.device) -> Tensor:
    if isinstance(array, Tensor):  # of a CUDA graph: there already
        return array
    return torch.from_numpy(np.ascontiguousarray(array)).to(device)


def evaluate_split(
    model: nn.Module,
    data: Dataset,
    split: str,
    context: int,
    device: torch.device,
    precision: str,
    team: Team = ALONE,
) -> dict[str, float]:
    """Run a model over a whole split.

    Text is cut into windows of `context` tokens, each starting afresh; the last, shorter window counts too.
    Of labelled texts, each has one target, its label. Several processes take turns with the batches and all get the
    whole split's result.

    Returns:
        loss (nats per target), accuracy (share of targets hit), tokens (targets seen).
    """
    pieces = data.eval_batches(split, rows_per_batch(context, data.vocab_size, device), context)
    return score(model, pieces, device, precision, team)


@torch.inference_mode()
def score(
    model: nn.Module,
    batches: Iterable[Batch | LabelledBatch],
    device: torch.device,
    precision: str,
    team: Team = ALONE,
) -> dict[str, float]:
    """Run a model over batches; what `evaluate_split` returns."""
    was_training = model.training
    model.eval()
    loss, hits, count = 0.0, 0, 0
    for index, piece in enumerate(batches):
        if index % team.size != team.rank:
            continue
        logits, flat = logits_and_targets(model, piece, device, precision)
        loss += F.cross_entropy(logits, flat, ignore_index=IGNORE, reduction="sum").item()
        asked = flat != IGNORE
        hits += int((logits.argmax(-1)[asked] == flat[asked]).sum())
        count += int(asked.sum())
    model.train(was_training)
    loss, all_hits, all_count = team.sum(loss, hits, count)
    return {"loss": loss / all_count, "accuracy": all_hits / all_count, "tokens": int(all_count)}


def metrics(raw: dict[str, float], meta: dict[str, Any], split: str) -> dict[str, float | None]:
    """What a table shows for a split: text has perplexity, by character also bits per character; others accuracy.

    Args:
        raw: result of `evaluate_split`. meta: the dataset's meta.json.
    """
    text = meta["task"] == "text"
    result: dict[str, float | None] = {
        "loss": raw["loss"],
        "perplexity": None if meta["task"] == "labels" else math.exp(min(raw["loss"], 700.0)),
        "bits_per_character": None,
        "accuracy": None if text else raw["accuracy"],
        "tokens": raw["tokens"],
    }
    if text and meta["tokenizer"] == "characters":  # nats per token -> bits per character
        result["bits_per_character"] = raw["loss"] / math.log(2) * meta["tokens"][split] / meta["characters"][split]
    return result
