"""Text from a model, one token at a time through its recurrent face."""

import torch

from seqscale.data.tokenizers import AnyTokenizer
from seqscale.models import LanguageModel


@torch.inference_mode()
def sample_text(
    model: LanguageModel,
    tokenizer: AnyTokenizer,
    prompt: str,
    length: int,
    seed: int,
    temperature: float = 0.8,
    top_k: int = 40,
) -> str:
    """Continue `prompt` by `length` tokens (fewer where the model's positions end), drawn with a fixed seed.

    Characters or words of the prompt that the corpus lacks are left out.
    """
    written = [int(token) for token in tokenizer.prompt(prompt)]
    device = model.embedding.weight.device
    generator = torch.Generator().manual_seed(seed)
    model.eval()
    room = length if model.length_max is None else min(length, model.length_max - len(written))
    if room <= 0:
        return tokenizer.decode(written)
    logits, state = model(torch.tensor([written], device=device), model.init_state(1, len(written) + room))
    last = logits[:, -1]
    for _ in range(room):
        scores = last.float().cpu()[0] / temperature
        if top_k < scores.numel():
            scores[scores < scores.topk(top_k).values[-1]] = -torch.inf
        choice = torch.multinomial(scores.softmax(-1), 1, generator=generator)
        written += choice.tolist()
        last, state = model.step(choice.to(device), state)
    return tokenizer.decode(written)
