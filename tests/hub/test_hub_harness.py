"""lm-evaluation-harness opens an exported model and measures what this package measures, offline."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from seqscale.data.tokenizers import CharacterTokenizer, WordTokenizer
from seqscale.hub import save_pretrained
from seqscale.hub.card import HARNESS
from seqscale.hub.tokenizer import beginning, save_tokenizer
from seqscale.models import ModelSpec, build

TEXT = "the function returns a list,\nof strings. "


def test_the_token_before_a_text() -> None:
    assert beginning(CharacterTokenizer.of(TEXT)) == sorted(set(TEXT)).index("\n")
    assert beginning(CharacterTokenizer.of("abc")) == 0
    words = WordTokenizer.of([TEXT])
    assert words.vocabulary[beginning(words)] == "<eos>"
    assert "prefix_token_id=7" in HARNESS.format(beginning=7)


@pytest.fixture
def exported(tmp_path: Path) -> tuple[Any, CharacterTokenizer, Path]:
    """A random model with a tokenizer of characters, as `seqscale export` writes them."""
    torch.manual_seed(0)
    tokenizer = CharacterTokenizer.of(TEXT)
    model = build(ModelSpec("mamba", "mamba", d_model=8, n_layers=2, norm="rmsnorm"), len(tokenizer), 16)
    save_pretrained(model, tmp_path)
    save_tokenizer(tokenizer, tmp_path)
    return model.eval(), tokenizer, tmp_path


def test_the_harness_gives_our_own_likelihoods(
    exported: tuple[Any, CharacterTokenizer, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of whole texts, and of continuations, which multiple choice compares; several at once, of unequal length."""
    pytest.importorskip("lm_eval", reason="lm_eval is not installed (no part of the pinned environment)")
    pytest.importorskip("accelerate", reason="lm_eval's models need accelerate (lm_eval[hf])")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    model, tokenizer, folder = exported
    first = beginning(tokenizer)
    harness = HFLM(pretrained=str(folder), device="cpu", dtype="float32", prefix_token_id=first, batch_size=2)

    def likelihood(before: list[int], after: list[int]) -> float:
        with torch.no_grad():
            logits = model(torch.tensor([[*before, *after]]))[0, len(before) - 1 : -1]
        return logits.log_softmax(-1)[range(len(after)), after].sum().item()

    texts = [TEXT, "a list of strings"]
    requests = [Instance("loglikelihood_rolling", {}, (text,), i) for i, text in enumerate(texts)]
    expected = [likelihood([first], tokenizer.encode(text).tolist()) for text in texts]
    assert harness.loglikelihood_rolling(requests) == pytest.approx(expected, abs=1e-3)
    assert all(math.isfinite(value) for value in expected)

    pairs = [("the function returns", " a list"), ("of", " strings. ")]
    asked = [Instance("loglikelihood", {}, pair, i) for i, pair in enumerate(pairs)]
    expected = [likelihood(*(tokenizer.encode(part).tolist() for part in pair)) for pair in pairs]
    assert [value for value, _ in harness.loglikelihood(asked)] == pytest.approx(expected, abs=1e-3)
