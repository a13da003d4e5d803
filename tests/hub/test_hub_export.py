"""A trained run opens in transformers: weights, tokenizer, card."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers.implementations import ByteLevelBPETokenizer

from seqscale.data import open_dataset, prepare
from seqscale.data.tokenizers import SubwordTokenizer, WordTokenizer
from seqscale.files import read_json, write_json
from seqscale.hub import export_run, from_pretrained, greedy
from seqscale.hub.files import CheckpointError
from seqscale.hub.tokenizer import save_tokenizer
from seqscale.models import ModelSpec, build
from seqscale.training import train
from seqscale.training.checkpoint import load_tensors

transformers = pytest.importorskip("transformers", reason="transformers is not installed (extra `transformers`)")
OPTIMIZER = {"weight_decay": 0.1, "betas": [0.9, 0.95], "warmup_fraction": 0.1, "final_fraction": 0.1, "clip": 1.0}
MODELS: dict[str, dict[str, Any]] = {
    "mamba": {"mixer": "mamba", "mixer_options": {"d_state": 5}, "norm": "rmsnorm"},
    "transformer": {"mixer": "attention", "mixer_options": {"n_heads": 2}, "channel_mixer": "mlp",
                    "positions": "learned"},
    "transformer_pp": {"mixer": "attention", "mixer_options": {"n_heads": 2, "rope": True, "bias": False},
                       "channel_mixer": "swiglu", "norm": "rmsnorm"},
    "lstm": {"mixer": "lstm"},
}  # fmt: skip
TEXT = "Now is the winter\nof our discontent, made glorious\tsummer – by this sun of York…\r\n" * 30


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with one short run of each model."""
    results = tmp_path_factory.mktemp("export") / "results"
    text = results.parent / "text.txt"
    text.write_bytes(TEXT.encode())
    spec = {"kind": "text", "path": str(text), "tokenizer": "characters", "split": [0.8, 0.1, 0.1], "licence": "free"}
    prepare("york", spec, results / "data" / "york", None)
    for name, model in MODELS.items():
        run = {
            "experiment": "text", "protocol": "fair", "dataset": "york", "seed": 1, "context": 16, "batch": 4,
            "steps": 8, "eval_every": 8, "log_every": 8, "checkpoint_every": 8, "search": None,
            "device": "cpu", "threads": 1, "precision": "float32",
            "optimizer": {**OPTIMIZER, "learning_rate": 0.01},
            "model": {"name": name, "d_model": 16, "n_layers": 2, **model},
        }  # fmt: skip
        train(run, results / "data" / "york", results / "work", results / "runs" / "text" / name / "seed1")
    metrics = {"status": "ok", "valid": {"loss": 2.5}, "test": {"loss": 2.25, "perplexity": 9.49, "accuracy": None}}
    write_json(results / "runs/text/mamba/seed1/metrics.json", metrics)
    return results


@pytest.mark.parametrize("name", ["mamba", "transformer", "transformer_pp"])
def test_opens_in_transformers(results: Path, name: str, tmp_path: Path) -> None:
    run = results / "runs" / "text" / name / "seed1"
    said = export_run(run, tmp_path)
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    data = open_dataset(results / "data" / "york")
    own = build(ModelSpec.from_dict(read_json(run / "summary.json")["config"]["model"]), data.vocab_size, 16).eval()
    own.load_state_dict(load_tensors(run / "model.safetensors")[0])

    text = "the winter\nof"
    tokens = tokenizer(text, return_tensors="pt").input_ids
    with torch.no_grad():
        assert (model(tokens).logits - own(tokens)).abs().max() < 1e-4
        assert torch.equal(from_pretrained(tmp_path)(tokens), own(tokens))
    room = 16 - tokens.shape[1]
    written = model.generate(tokens, attention_mask=torch.ones_like(tokens), max_new_tokens=room, do_sample=False,
                             pad_token_id=0)  # fmt: skip
    assert torch.equal(written, greedy(own, tokens, room))
    assert said["architecture"] == type(model).__name__
    assert {"README.md", "config.json", "model.safetensors", "tokenizer.json"} <= set(said["files"])


def test_the_tokenizer_is_the_corpus_own(results: Path, tmp_path: Path) -> None:
    export_run(results / "runs/text/mamba/seed1", tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    ours = open_dataset(results / "data" / "york").tokenizer
    assert theirs(TEXT).input_ids == ours.encode(TEXT).tolist()
    assert theirs.decode(ours.encode(TEXT).tolist()) == TEXT
    with pytest.raises(Exception, match="UNK"):
        theirs("Q")  # not in the corpus: an error on both sides
    with pytest.raises(ValueError, match="'Q' is not in this corpus"):
        ours.encode("Q")


def test_the_card_says_what_the_files_say(results: Path, tmp_path: Path) -> None:
    export_run(results / "runs/text/mamba/seed1", tmp_path)
    card = (tmp_path / "README.md").read_text()
    summary = read_json(results / "runs/text/mamba/seed1/summary.json")
    for words in (f"{summary['params']:,}", "test loss | 2.2500 nats per token", "test perplexity | 9.4900", "free",
                  "8 steps of 4 x 16", "AutoModelForCausalLM", "library_name: transformers"):  # fmt: skip
        assert words in card, words
    assert "accuracy" not in card
    assert "None" not in card


def test_a_model_without_counterpart_and_runs_that_are_none(results: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="transformers has no model that computes 'lstm'"):
        export_run(results / "runs/text/lstm/seed1", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(CheckpointError, match=r"has no summary\.json: it is not a finished run"):
        export_run(results / "runs/text", tmp_path / "out")
    with pytest.raises(CheckpointError, match=r"has no meta\.json"):
        export_run(results / "runs/text/mamba/seed1", tmp_path / "out", data=tmp_path)


def test_reading_needs_no_transformers(results: Path, tmp_path: Path) -> None:
    """The package reads and writes checkpoints by itself."""
    export_run(results / "runs/text/mamba/seed1", tmp_path)
    code = (
        "import sys; sys.modules['transformers'] = None\n"
        "from seqscale.hub import from_pretrained\n"
        f"print(from_pretrained({str(tmp_path)!r}).count_parameters()[0])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == json.loads((results / "runs/text/mamba/seed1/summary.json").read_text())["params"]


def test_words_and_pieces_open_in_transformers(tmp_path: Path) -> None:
    """The tokens of the corpus's own tokenizer and those of transformers' are the same, and so is what they say."""
    text = "the cat sat\non the <unk> mat\n"
    words = WordTokenizer.of([text])
    save_tokenizer(words, tmp_path / "words")
    opened = transformers.AutoTokenizer.from_pretrained(tmp_path / "words")
    assert opened(text)["input_ids"] == words.encode(text).tolist()
    assert opened("the dog")["input_ids"] == [words.vocabulary.index("the"), words.vocabulary.index("<unk>")]
    assert opened.decode(words.encode("on the mat")[:-1]) == "on the mat"
    library = ByteLevelBPETokenizer()
    library.train_from_iterator([text * 20], vocab_size=280)
    library.save_model(str(tmp_path))
    pieces = SubwordTokenizer.gpt2(tmp_path / "vocab.json", tmp_path / "merges.txt")
    save_tokenizer(pieces, tmp_path / "pieces", 128)
    opened = transformers.AutoTokenizer.from_pretrained(tmp_path / "pieces")
    assert opened(text)["input_ids"] == pieces.encode(text).tolist()
    assert opened.model_max_length == 128
    assert opened.decode(pieces.encode(text)) == text
    with pytest.raises(CheckpointError, match="no way to write a dict"):
        save_tokenizer({}, tmp_path)
