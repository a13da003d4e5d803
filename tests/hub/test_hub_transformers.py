"""GPT-2 and Llama, which this package's Transformers are; and what is refused, in words."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peers import LIMIT, difference, peer, saved, tokens_for
from safetensors.torch import load_file, save_file

from seqscale.hub import from_pretrained, greedy, save_pretrained
from seqscale.hub.files import CheckpointError
from seqscale.models import ModelSpec, build
from seqscale.models.blocks import SwiGLU

KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt2": ("GPT2", {"vocab_size": 40, "n_embd": 24, "n_layer": 2, "n_head": 3, "n_positions": 64,
                      "activation_function": "gelu"}),
    "llama": ("Llama", {"vocab_size": 40, "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3,
                        "intermediate_size": SwiGLU(24).hidden, "tie_word_embeddings": True}),
    "llama-untied": ("Llama", {"vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 4,
                               "intermediate_size": SwiGLU(16).hidden, "tie_word_embeddings": False}),
}  # fmt: skip


@pytest.fixture(scope="module", params=KINDS.values(), ids=KINDS.keys())
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    kind, config = request.param
    theirs = peer(kind, **config)
    return theirs, from_pretrained(saved(theirs, tmp_path_factory.mktemp("peer")))


def test_same_logits_and_text(pair: tuple[Any, Any]) -> None:
    theirs, ours = pair
    assert difference(ours, theirs, tokens_for(theirs)) < LIMIT
    prompt = tokens_for(theirs, length=5)
    expected = theirs.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=20, do_sample=False,
                               pad_token_id=0)  # fmt: skip
    assert torch.equal(greedy(ours, prompt, 20), expected)


def test_there_and_back(pair: tuple[Any, Any], tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    theirs, ours = pair
    save_pretrained(ours, tmp_path)
    opened = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    assert type(opened) is type(theirs)
    assert difference(ours, opened, tokens_for(theirs)) < LIMIT
    assert torch.equal(from_pretrained(tmp_path)(tokens_for(theirs)), ours(tokens_for(theirs)))


def test_padding_before_the_first_token_is_refused_where_no_mask_is_known(pair: tuple[Any, Any]) -> None:
    with pytest.raises(ValueError, match=r"Attention takes no padding mask: pad after the last token"):
        pair[1](tokens_for(pair[0]), mask=torch.ones(2, 19))


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A sound little Mamba, to be damaged."""
    spec = ModelSpec("mamba", "mamba", 8, 2, norm="rmsnorm")
    torch.manual_seed(0)
    save_pretrained(build(spec, 5, 16), tmp_path / "sound")
    return tmp_path / "sound"


def edit(folder: Path, **changes: Any) -> None:
    file = folder / "config.json"
    values = {**json.loads(file.read_text()), **changes}
    file.write_text(json.dumps({k: v for k, v in values.items() if v != "absent"}))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model_type": "rwkv"}, "model_type = 'rwkv'; this package reads mamba, mamba2, gpt2, llama"),
        ({"hidden_act": "gelu"}, "hidden_act = 'gelu'; this package computes silu, swish only"),
        ({"hidden_size": "absent"}, r"config\.json lacks 'hidden_size'"),
        ({"state_size": 3}, r"mixer\.A_log is \(16, 16\), expected \(16, 3\)"),
        ({"num_hidden_layers": 3}, r"do not fit its config\.json: blocks\.2\."),
        ({"num_hidden_layers": 1}, r"unknown|not known"),
        ({"intermediate_size": 20}, "intermediate_size = 20; this package computes 16 only"),
    ],
)
def test_a_config_that_does_not_fit(folder: Path, changes: dict[str, Any], words: str) -> None:
    edit(folder, **changes)
    with pytest.raises(CheckpointError, match=words):
        from_pretrained(folder)


def test_damaged_missing_and_pickled_weights(folder: Path) -> None:
    weights = folder / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match=r"model\.safetensors is damaged or incomplete"):
        from_pretrained(folder)
    weights.unlink()
    with pytest.raises(CheckpointError, match=r"model\.safetensors is not there"):
        from_pretrained(folder)
    (folder / "pytorch_model.bin").write_bytes(b"no")
    with pytest.raises(CheckpointError, match=r"in pytorch_model\.bin only, a pickle, which could run code"):
        from_pretrained(folder)


def test_weights_in_several_files(folder: Path) -> None:
    expected = from_pretrained(folder)(torch.arange(5)[None])
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(weights)
    parts = {"one.safetensors": names[::2], "two.safetensors": names[1::2]}
    for part, mine in parts.items():
        save_file({n: weights[n] for n in mine}, folder / part)
    index = {"weight_map": {n: part for part, mine in parts.items() for n in mine}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert torch.equal(from_pretrained(folder)(torch.arange(5)[None]), expected)
    index["weight_map"][names[0]] = "../elsewhere.safetensors"
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match="a file outside of its folder"):
        from_pretrained(folder)


def test_places_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="it is no hub name"):
        from_pretrained(tmp_path / "nothing")
    with pytest.raises(CheckpointError, match=r"has no config\.json"):
        from_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="there is no folder nobody/nothing, and it could not be fetched"):
        from_pretrained("nobody/nothing")


def test_a_model_without_counterpart_is_refused(tmp_path: Path) -> None:
    spec = ModelSpec("lstm", "lstm", 8, 1)
    with pytest.raises(CheckpointError, match=r"no model that computes 'lstm'. What can be exported: MambaForCausalLM"):
        save_pretrained(build(spec, 5, 16), tmp_path)
