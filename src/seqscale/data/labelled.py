"""Labelled texts as batches: fixed length, padded on the right, with the number of real tokens of each row."""

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seqscale.data.tokenizers import SubwordTokenizer
from seqscale.data.tweets import clean
from seqscale.files import sha256_of


@dataclass(frozen=True)
class LabelledBatch:
    """Texts with the class of each.

    Attributes:
        inputs: (batch, length), int64, padded on the right.
        lengths: real tokens of each row, (batch,), int64, at least 1.
        labels: index into the classes, (batch,), int64; one beyond them: no class fits (a neutral tweet).
    """

    inputs: np.ndarray
    lengths: np.ndarray
    labels: np.ndarray


@functools.lru_cache(maxsize=2)
def _epoch_order(seed: int, epoch: int, count: int) -> np.ndarray:
    """The order in which an epoch visits the texts."""
    return np.random.default_rng([seed, epoch]).permutation(count)


class LabelledDataset:
    """Prepared tweets. Training visits them in a random order that is a function of (seed, epoch)."""

    def __init__(self, folder: Path, meta: dict[str, Any]) -> None:
        self.meta = meta
        self._arrays: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}
        for split, expected in meta["files_sha256"].items():
            file = folder / f"{split}.npz"
            if sha256_of(file) != expected:
                raise ValueError(
                    f"{file} is not the file that was prepared (its checksum differs from meta.json's). "
                    f"Delete {folder} and run again: it will be prepared anew."
                )
            with np.load(file, allow_pickle=False) as arrays:
                self._arrays[split] = (arrays["tokens"], arrays["lengths"], arrays["labels"])
        self.tokenizer = SubwordTokenizer.load(folder / "tokenizer.json")

    @property
    def vocab_size(self) -> int:
        return len(self.tokenizer)

    @property
    def classes(self) -> list[str]:
        """What a model may answer."""
        return self.meta["classes"]

    @property
    def splits(self) -> list[str]:
        """train, valid, test, and a second test where there is one."""
        return list(self._arrays)

    def train_batch(self, seed: int, step: int, batch: int, context: int) -> LabelledBatch:
        """The batch of step `step` (from 0)."""
        self._check(context)
        count = len(self._arrays["train"][0])
        per_epoch = count - count % batch
        if per_epoch == 0:
            raise ValueError(f"{self.meta['dataset']}: {count:,} training texts are too few for a batch of {batch}")
        epoch, first = divmod(step * batch, per_epoch)
        return self._rows("train", _epoch_order(seed, epoch, count)[first : first + batch])

    def eval_batches(self, split: str, batch: int, context: int) -> Iterator[LabelledBatch]:
        """The whole split, in order."""
        self._check(context)
        count = len(self._arrays[split][0])
        for first in range(0, count, batch):
            yield self._rows(split, np.arange(first, min(first + batch, count)))

    def encode(self, texts: list[str]) -> tuple[list[str], LabelledBatch]:
        """Texts from outside, cleaned and tokenised like the corpus; the labels of the batch say nothing (all 0)."""
        cleaned = [clean(text) for text in texts]
        tokens, lengths = self.tokenizer.encode_each(cleaned, self.meta["max_tokens"])
        return cleaned, LabelledBatch(tokens.astype(np.int64), lengths, np.zeros(len(texts), dtype=np.int64))

    def _rows(self, split: str, rows: np.ndarray) -> LabelledBatch:
        tokens, lengths, labels = self._arrays[split]
        return LabelledBatch(tokens[rows].astype(np.int64), lengths[rows], labels[rows])

    def _check(self, context: int) -> None:
        if context != self.meta["max_tokens"]:  # tokens and operations are counted by the context
            raise ValueError(
                f"{self.meta['dataset']}: a context of {context} does not fit; its rows have "
                f"{self.meta['max_tokens']} tokens"
            )
