"""Loss and accuracy over a whole split, every target once."""

import contextlib
import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from seqscale.data.batches import IGNORE, Dataset
from seqscale.training.processes import ALONE, Team

EVAL_TOKENS = 4096  # per batch: enough to keep a core busy, little enough for any memory


def autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager[Any]:
    """bfloat16 autocast where `precision` is "bfloat16", else nothing."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bfloat16" else contextlib.nullcontext()


@torch.inference_mode()
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

    Text is cut into windows of `context` tokens, each starting afresh; the last, shorter window counts too. Several
    processes take turns with the batches and all get the whole split's result.

    Returns:
        loss (nats per target), accuracy (share of targets hit), tokens (targets seen).
    """
    was_training = model.training
    model.eval()
    loss, hits, count = 0.0, 0, 0
    for index, piece in enumerate(data.eval_batches(split, max(1, EVAL_TOKENS // context), context)):
        if index % team.size != team.rank:
            continue
        inputs, targets = (torch.from_numpy(x).to(device) for x in (piece.inputs, piece.targets))
        with autocast(device, precision):
            logits = model(inputs)
        flat = targets.flatten()
        loss += F.cross_entropy(logits.float().flatten(0, 1), flat, ignore_index=IGNORE, reduction="sum").item()
        asked = flat != IGNORE
        hits += int((logits.argmax(-1).flatten()[asked] == flat[asked]).sum())
        count += int(asked.sum())
    model.train(was_training)
    loss, all_hits, all_count = team.sum(loss, hits, count)
    return {"loss": loss / all_count, "accuracy": all_hits / all_count, "tokens": int(all_count)}


def metrics(raw: dict[str, float], meta: dict[str, Any], split: str) -> dict[str, float | None]:
    """What a table shows for a split: text has perplexity and bits per character, a task with answers accuracy.

    Args:
        raw: result of `evaluate_split`. meta: the dataset's meta.json.
    """
    text = meta["task"] == "text"
    result: dict[str, float | None] = {
        "loss": raw["loss"],
        "perplexity": math.exp(min(raw["loss"], 700.0)),
        "bits_per_character": None,
        "accuracy": None if text else raw["accuracy"],
        "tokens": raw["tokens"],
    }
    if text:  # nats per token -> bits per character
        result["bits_per_character"] = raw["loss"] / math.log(2) * meta["tokens"][split] / meta["characters"][split]
    return result
