"""A trained model at lengths that it never saw: what extrapolates, and what falls apart."""

from typing import Any

import torch
from torch import nn

from seqscale.data.batches import SyntheticDataset
from seqscale.devices import is_out_of_memory
from seqscale.training.evaluation import EVAL_TOKENS, score

OUT_OF_RANGE = "out of range"
GPU_TOKENS = 2**19  # side by side: an LSTM walks 65,536 tokens no slower for eight rows than for one


@torch.inference_mode()
def evaluate_lengths(
    model: nn.Module, data: SyntheticDataset, device: torch.device, precision: str
) -> list[dict[str, Any]]:
    """Loss and accuracy at each of the data's long lengths, shortest first.

    Returns:
        one entry per length: `length`, `status` ("ok", "out of memory", or "out of range" where the model has no
        positions for it), `reason`, and where ok `loss` (nats per answer), `accuracy`, `tokens` (answers).
    """
    found: list[dict[str, Any]] = []
    limit = getattr(model, "length_max", None)
    tokens = GPU_TOKENS if device.type == "cuda" else EVAL_TOKENS
    for length in data.long_lengths:
        entry: dict[str, Any] = {"length": length, "status": "ok", "reason": ""}
        if limit is not None and length > limit:
            entry |= {"status": OUT_OF_RANGE, "reason": f"the model has {limit} learned positions"}
        else:
            try:
                entry |= score(model, data.long_batches(length, max(1, tokens // length)), device, precision)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                entry |= {"status": "out of memory", "reason": (str(error).splitlines() or ["no words"])[0]}
        found.append(entry)
    return found
