"""Models of transformers with random weights in every parameter, saved and loaded back by both sides."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from seqscale.models import LanguageModel

transformers = pytest.importorskip("transformers", reason="transformers is not installed (extra `transformers`)")
LIMIT = 1e-4  # float32, largest difference of any logit


def peer(kind: str, seed: int = 0, **config: Any) -> Any:
    """A random transformers model: biases, norms and skips are moved off their neat starting values, too."""
    torch.manual_seed(seed)
    settings = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None, **config}
    model = getattr(transformers, f"{kind}ForCausalLM" if kind != "GPT2" else "GPT2LMHeadModel")(
        getattr(transformers, f"{kind}Config")(**settings)
    ).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "A_log" not in name:
                parameter.add_(0.1 * torch.randn_like(parameter))
        table = model.get_input_embeddings().weight
        table.copy_(torch.randn_like(table))
    return model


def tokens_for(model: Any, batch: int = 2, length: int = 19) -> Tensor:
    return torch.randint(model.config.vocab_size, (batch, length), generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def difference(ours: LanguageModel, theirs: Any, tokens: Tensor, mask: Tensor | None = None) -> float:
    """The largest difference of logits at tokens that are not padding."""
    found = ours(tokens) if mask is None else ours(tokens, mask=mask)
    expected = theirs(tokens, attention_mask=mask, use_cache=False).logits
    assert expected.std() > 0.1, "logits that say nothing"
    kept = torch.ones_like(tokens, dtype=torch.bool) if mask is None else mask.bool()
    return float((found - expected)[kept].abs().max())


def saved(model: Any, folder: Path) -> Path:
    model.save_pretrained(folder, safe_serialization=True)
    return folder
