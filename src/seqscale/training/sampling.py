"""Text from a model, one token at a time through its recurrent face."""

import torch

from seqscale.data.tokenizers import CharacterTokenizer
from seqscale.models import LanguageModel


@torch.inference_mode()
def sample_text(
    model: LanguageModel,
    tokenizer: CharacterTokenizer,
    prompt: str,
    length: int,
    seed: int,
    temperature: float = 0.8,
    top_k: int = 40,
) -> str:
    """Continue `prompt` by `length` characters (fewer where the model's positions end), drawn with a fixed seed.

    Characters of the prompt that the corpus lacks are left out.
    """
    vocabulary = set(tokenizer.vocabulary)
    known = "".join(c for c in prompt if c in vocabulary) or tokenizer.vocabulary[0]
    device = model.embedding.weight.device
    generator = torch.Generator().manual_seed(seed)
    model.eval()
    room = length if model.length_max is None else min(length, model.length_max - len(known))
    if room <= 0:
        return known
    tokens = torch.from_numpy(tokenizer.encode(known).astype("int64")).to(device)
    logits, state = model(tokens[None], model.init_state(1, len(known) + room))
    last, written = logits[:, -1], known
    for _ in range(room):
        scores = last.float().cpu()[0] / temperature
        if top_k < scores.numel():
            scores[scores < scores.topk(top_k).values[-1]] = -torch.inf
        choice = torch.multinomial(scores.softmax(-1), 1, generator=generator)
        written += tokenizer.decode(choice.tolist())
        last, state = model.step(choice.to(device), state)
    return written
