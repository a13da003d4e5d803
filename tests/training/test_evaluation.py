"""Loss and accuracy over a whole split, against a computation by hand."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from seqscale.data import open_dataset, prepare
from seqscale.data.batches import IGNORE
from seqscale.training.evaluation import evaluate_split, metrics

CPU = torch.device("cpu")


class Bigram(nn.Module):
    """Logits that depend on the present token alone; on request it also looks at how it is being used."""

    def __init__(self, vocab: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(vocab, vocab, generator=torch.Generator().manual_seed(0)))
        self.modes: list[bool] = []

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        self.modes.append(self.training)
        return self.table[tokens]


@pytest.mark.parametrize("split", ["valid", "test"])
@pytest.mark.parametrize(("tokens_per_batch", "context"), [(1, 1), (48, 12), (4096, 7), (20, 500)], ids=str)
def test_every_token_counts_once(
    data_folder: Path, split: str, tokens_per_batch: int, context: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bigram model cannot tell how the text is cut, so neither can its loss."""
    monkeypatch.setattr("seqscale.training.evaluation.EVAL_TOKENS", tokens_per_batch)
    data = open_dataset(data_folder)
    model = Bigram(data.vocab_size)
    tokens = np.fromfile(data_folder / f"{split}.bin", dtype=data.meta["dtype"]).astype(int)
    table = model.table.detach().double().numpy()
    log_p = table - np.log(np.exp(table).sum(1, keepdims=True))
    expected = -log_p[tokens[:-1], tokens[1:]].mean()
    hits = (table.argmax(1)[tokens[:-1]] == tokens[1:]).mean()
    raw = evaluate_split(model, data, split, context, CPU, "float32")
    assert raw["tokens"] == len(tokens) - 1
    assert raw["loss"] == pytest.approx(expected, rel=1e-6)
    assert raw["accuracy"] == pytest.approx(hits, abs=1e-12)


def test_only_what_is_asked_counts(tmp_path: Path) -> None:
    spec = {"kind": "selective_copying", "length": 9, "n_data": 2, "vocab": 3, "valid_examples": 11, "test_examples": 3}
    prepare("copying", spec, tmp_path, None)
    data = open_dataset(tmp_path)
    model = Bigram(data.vocab_size)
    raw = evaluate_split(model, data, "valid", 11, CPU, "float32")
    _, targets = data.task.examples(0, 0, 11)
    asked = torch.from_numpy(targets[targets != IGNORE])
    log_p = model.table[1].log_softmax(0)  # at every marker (token 1) the same guess
    assert raw["tokens"] == 22
    assert raw["loss"] == pytest.approx(-log_p[asked].mean().item(), rel=1e-6)
    assert raw["accuracy"] == pytest.approx((asked == log_p.argmax()).double().mean().item())


@pytest.mark.parametrize("training", [True, False])
def test_dropout_is_off_and_the_mode_restored(data_folder: Path, training: bool) -> None:
    model = Bigram(open_dataset(data_folder).vocab_size)
    model.train(training)
    evaluate_split(model, open_dataset(data_folder), "valid", 12, CPU, "float32")
    assert not any(model.modes)
    assert model.training == training


def test_metrics_of_text() -> None:
    meta = {"task": "text", "tokenizer": "characters", "tokens": {"test": 50}, "characters": {"test": 100}}
    found = metrics({"loss": math.log(8), "accuracy": 0.5, "tokens": 49}, meta, "test")
    assert found["perplexity"] == pytest.approx(8)
    assert found["bits_per_character"] == pytest.approx(1.5)  # 3 bits a token, 2 characters a token
    assert found["accuracy"] is None
    assert (found["loss"], found["tokens"]) == (math.log(8), 49)
    words = metrics({"loss": math.log(8), "accuracy": 0.5, "tokens": 49}, {**meta, "tokenizer": "words"}, "test")
    assert (words["perplexity"], words["bits_per_character"]) == (found["perplexity"], None)


def test_metrics_of_a_task_and_of_a_hopeless_loss() -> None:
    found = metrics({"loss": 1e4, "accuracy": 0.25, "tokens": 8}, {"task": "answers"}, "test")
    assert found["accuracy"] == 0.25
    assert found["bits_per_character"] is None
    assert math.isfinite(found["perplexity"] or math.nan)
