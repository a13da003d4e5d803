"""MambaForCausalLM and Mamba2ForCausalLM: the same logits on both sides, and the same text; there and back."""

from pathlib import Path
from typing import Any

import pytest
import torch
from peers import LIMIT, difference, peer, saved, tokens_for

from seqscale.hub import from_pretrained, greedy, save_pretrained

PLAIN: dict[str, dict[str, Any]] = {
    "Mamba": {"vocab_size": 50, "hidden_size": 32, "state_size": 16, "num_hidden_layers": 3},
}
PLAIN["Mamba2"] = PLAIN["Mamba"] | {"head_dim": 8, "num_heads": 8, "n_groups": 2}
SHAPES: dict[str, dict[str, dict[str, Any]]] = {
    "Mamba": {
        "plain": {},
        "d_state-odd": {"state_size": 7},
        "d_state-1": {"state_size": 1, "conv_kernel": 2},
        "all-biases": {"use_bias": True, "use_conv_bias": True},
        "no-conv-bias": {"use_conv_bias": False},
        "untied": {"tie_word_embeddings": False},
        "wide-and-odd": {"hidden_size": 37, "expand": 3, "time_step_rank": 5, "state_size": 5, "use_bias": True},
        "one-layer": {
            "num_hidden_layers": 1,
            "vocab_size": 11,
            "layer_norm_epsilon": 1e-3,
            "tie_word_embeddings": False,
        },
    },
    "Mamba2": {
        "plain": {},
        "d_state-odd": {"state_size": 7, "chunk_size": 4},
        "d_state-1": {"state_size": 1, "conv_kernel": 2},
        "all-biases": {"use_bias": True, "use_conv_bias": True, "chunk_size": 8},
        "no-conv-bias": {"use_conv_bias": False, "n_groups": 1},
        "tied": {"tie_word_embeddings": True},
        "odd-heads-and-groups": {
            "hidden_size": 30,
            "expand": 3,
            "head_dim": 6,
            "num_heads": 15,
            "n_groups": 5,
            "use_bias": True,
        },
        "one-layer": {"num_hidden_layers": 1, "vocab_size": 11, "layer_norm_epsilon": 1e-3, "n_groups": 4},
    },
}


@pytest.fixture(scope="module", params=[(kind, shape) for kind in SHAPES for shape in SHAPES[kind]], ids="-".join)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any, Path]:
    """A random model of transformers, the same one opened by us, and its folder."""
    kind, shape = request.param
    theirs = peer(kind, **(PLAIN[kind] | SHAPES[kind][shape]))
    folder = saved(theirs, tmp_path_factory.mktemp(f"{kind}-{shape}"))
    return theirs, from_pretrained(folder), folder


def test_same_logits(pair: tuple[Any, Any, Path]) -> None:
    theirs, ours, _ = pair
    assert difference(ours, theirs, tokens_for(theirs)) < LIMIT


@pytest.mark.parametrize("side", ["left", "right"])
def test_same_logits_in_a_padded_batch(pair: tuple[Any, Any, Path], side: str) -> None:
    theirs, ours, _ = pair
    tokens = tokens_for(theirs, batch=3)
    mask = torch.ones_like(tokens)
    for row, padding in enumerate((0, 4, 11)):
        mask[row, :padding] = 0
    if side == "right":
        mask = mask.flip(1)
    assert difference(ours, theirs, tokens, mask) < LIMIT


def test_padding_after_the_last_token_needs_no_mask(pair: tuple[Any, Any, Path]) -> None:
    _, ours, _ = pair
    tokens = tokens_for(pair[0])
    with torch.no_grad():
        torch.testing.assert_close(ours(tokens)[:, :8], ours(tokens[:, :8]), rtol=0, atol=1e-5)


def test_same_text(pair: tuple[Any, Any, Path]) -> None:
    theirs, ours, _ = pair
    prompt = tokens_for(theirs, length=5)
    expected = theirs.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=30, do_sample=False,
                               pad_token_id=0)  # fmt: skip
    assert torch.equal(greedy(ours, prompt, 30), expected)


def test_there_and_back(pair: tuple[Any, Any, Path], tmp_path: Path) -> None:
    """Written by us: transformers gives the same logits, and so do we to the last bit."""
    from transformers import AutoModelForCausalLM

    theirs, ours, _ = pair
    save_pretrained(ours, tmp_path)
    tokens = tokens_for(theirs)
    opened = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert type(opened) is type(theirs)
    with torch.no_grad():
        assert (opened.eval()(tokens).logits - theirs(tokens).logits).abs().max() < LIMIT
        assert torch.equal(from_pretrained(tmp_path)(tokens), ours(tokens))


def test_limits_of_dt_in_mamba2(tmp_path: Path) -> None:
    """Logits alone: transformers keeps to the limits over a sequence and forgets them in its one-token step."""
    theirs = peer("Mamba2", vocab_size=20, hidden_size=16, head_dim=8, num_heads=4, n_groups=1, state_size=8,
                  num_hidden_layers=2, time_step_limit=(0.3, 0.6))  # fmt: skip
    ours = from_pretrained(saved(theirs, tmp_path))
    assert ours.blocks[0].mixer.dt_high == 0.6
    assert difference(ours, theirs, tokens_for(theirs)) < LIMIT
    save_pretrained(ours, tmp_path / "again")
    assert torch.equal(from_pretrained(tmp_path / "again")(tokens_for(theirs)), ours(tokens_for(theirs)))
