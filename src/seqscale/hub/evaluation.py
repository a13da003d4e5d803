"""What a checkpoint can do, by the pipeline's own measure: whole texts, long contexts, recall.

Texts: windows of `context` tokens that each start afresh, as every run here is evaluated; and bits per byte, which can
be compared between tokenizers. Recall, without training: random tokens said twice (induction: the second time each can
be known from the first), and pairs of random tokens asked for again (associative recall, Arora et al. 2023).
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from seqscale.data.batches import IGNORE, Batch
from seqscale.hub.files import CheckpointError, find
from seqscale.models import LanguageModel
from seqscale.training import evaluate_split

Row = dict[str, Any]


class Tokens:
    """A text as one split, for `evaluate_split`."""

    def __init__(self, tokens: np.ndarray, vocab_size: int) -> None:
        self.tokens, self.vocab_size = tokens, vocab_size
        self.meta: dict[str, Any] = {}

    def eval_batches(self, split: str, batch: int, context: int) -> Iterator[Batch]:
        targets = len(self.tokens) - 1
        whole = targets // context
        for first in range(0, whole, batch):
            rows = range(first, min(first + batch, whole))
            block = np.stack([self.tokens[r * context : (r + 1) * context + 1] for r in rows])
            yield Batch(block[:, :-1], block[:, 1:])
        if targets % context:
            block = self.tokens[None, whole * context :]
            yield Batch(block[:, :-1], block[:, 1:])


class Answers:
    """Generated examples (inputs, targets), for `evaluate_split`."""

    def __init__(self, inputs: np.ndarray, targets: np.ndarray, vocab_size: int) -> None:
        self.inputs, self.targets, self.vocab_size = inputs, targets, vocab_size
        self.meta: dict[str, Any] = {}

    def eval_batches(self, split: str, batch: int, context: int) -> Iterator[Batch]:
        for first in range(0, len(self.inputs), batch):
            yield Batch(self.inputs[first : first + batch], self.targets[first : first + batch])


def encode(path_or_name: str | Path, text: str) -> np.ndarray:
    """`text` in the tokens of a checkpoint (its tokenizer.json).

    Raises:
        CheckpointError: it has none, or it does not know a character.
    """
    from tokenizers import Tokenizer

    file = find(path_or_name) / "tokenizer.json"
    if not file.is_file():
        raise CheckpointError(f"{file} is not there: without its tokenizer a checkpoint cannot read a text")
    try:
        return np.array(Tokenizer.from_file(str(file)).encode(text, add_special_tokens=False).ids, dtype=np.int64)
    except Exception as error:  # the tokenizers library raises plain Exception
        raise CheckpointError(f"the tokenizer of {path_or_name} cannot encode this text: {error}") from error


def evaluate_text(
    model: LanguageModel, tokens: np.ndarray, text: str, contexts: Sequence[int], precision: str = "float32"
) -> list[Row]:
    """Loss, perplexity and bits per byte of a text at each context length that the model can take."""
    device, rows = model.embedding.weight.device, []
    for context in contexts:
        if model.length_max is not None and context > model.length_max:
            continue  # learned positions end there
        raw = evaluate_split(model, Tokens(tokens, model.vocab_size), "test", context, device, precision)  # type: ignore[arg-type]
        nats = raw["loss"] * raw["tokens"]
        measures = {
            "loss": (raw["loss"], "nats per token"),
            "perplexity": (math.exp(min(raw["loss"], 700.0)), ""),
            "bits_per_byte": (nats / math.log(2) / len(text.encode()), "bits"),
            "accuracy": (raw["accuracy"], "share"),
        }
        rows += [
            {"task": "text", "length": context, "quantity": name, "value": value, "unit": unit, "count": raw["tokens"]}
            for name, (value, unit) in measures.items()
        ]
    return rows


def evaluate_recall(
    model: LanguageModel, lengths: Sequence[int], examples: int = 64, seed: int = 0, precision: str = "float32"
) -> list[Row]:
    """Share of answers given right, by generated sequences of the model's own tokens."""
    device, rows = model.embedding.weight.device, []
    for length in lengths:
        if (model.length_max is not None and length > model.length_max) or length < 4:
            continue
        for task, make in (("induction", induction), ("associative_recall", associative_recall)):
            inputs, targets = make(np.random.default_rng([seed, length]), model.vocab_size, length, examples)
            data = Answers(inputs, targets, model.vocab_size)
            raw = evaluate_split(model, data, "test", length, device, precision)  # type: ignore[arg-type]
            for quantity, unit in (("accuracy", "share"), ("loss", "nats per token")):
                row = {"length": length, "quantity": quantity, "value": raw[quantity], "unit": unit}
                rows.append({"task": task, **row, "count": raw["tokens"]})
    return rows


def induction(rng: np.random.Generator, vocab: int, length: int, examples: int) -> tuple[np.ndarray, np.ndarray]:
    """Random tokens, said twice: (examples, length) inputs; targets from the repetition's second token on."""
    half = length // 2
    once = rng.integers(vocab, size=(examples, half))
    inputs = np.concatenate([once, once], axis=1)
    targets = np.full_like(inputs, IGNORE)
    targets[:, half:-1] = inputs[:, half + 1 :]
    return inputs, targets


def associative_recall(
    rng: np.random.Generator, vocab: int, length: int, examples: int
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs key value key value ..., then each key once more in another order; the answer is its value.

    Half of the sequence tells, half asks; keys of one sequence differ where the vocabulary is large enough.
    """
    pairs = max(1, length // 4)
    inputs, targets = np.zeros((examples, 4 * pairs), np.int64), np.full((examples, 4 * pairs), IGNORE, np.int64)
    for row in range(examples):
        keys = rng.choice(vocab, size=pairs, replace=pairs > vocab)
        values = rng.integers(vocab, size=pairs)
        order = rng.permutation(pairs)
        told = np.stack([keys, values], axis=1)
        value_of = dict(zip(keys.tolist(), values.tolist(), strict=True))  # of a key told twice, the last
        asked = np.stack([keys[order], [value_of[int(k)] for k in keys[order]]], axis=1)
        inputs[row] = np.concatenate([told, asked]).reshape(-1)
        targets[row, 2 * pairs :: 2] = asked[:, 1]
    return inputs, targets


def default_contexts(model: LanguageModel, tokens: int) -> list[int]:
    """128, 512, 2048, ... as far as the model and the text reach."""
    longest = min(tokens - 1, model.length_max or tokens)
    return [c for c in (128, 512, 2048, 8192) if c <= longest] or [longest]


@torch.inference_mode()
def describe(model: LanguageModel) -> Row:
    """What a table says of the model."""
    params, nonembedding = model.count_parameters()
    spec = model.spec
    return {"mixer": spec.mixer, "d_model": spec.d_model, "n_layers": spec.n_layers, "params": params,
            "params_nonembedding": nonembedding}  # fmt: skip
