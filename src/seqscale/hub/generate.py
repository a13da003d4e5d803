"""Greedy continuation, one token at a time through a model's recurrent face."""

import torch
from torch import Tensor

from seqscale.models import LanguageModel


@torch.inference_mode()
def greedy(model: LanguageModel, tokens: Tensor, count: int) -> Tensor:
    """The `count` most likely next tokens, each given those before it.

    Args:
        tokens: (batch, length) integers, rows of one length.

    Returns:
        (batch, length + count).
    """
    logits, state = model(tokens, model.init_state(tokens.shape[0], tokens.shape[1] + count))
    written, last = [tokens], logits[:, -1]
    for _ in range(count):
        choice = last.argmax(-1)
        written.append(choice.unsqueeze(1))
        last, state = model.step(choice, state)
    return torch.cat(written, dim=1)
