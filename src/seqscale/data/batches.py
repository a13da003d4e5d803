"""Prepared data as batches: the same stream for every model, a pure function of (seed, step)."""

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from seqscale.data.splits import SPLITS
from seqscale.data.synthetic import IGNORE, at_length, make_task
from seqscale.data.tokenizers import CharacterTokenizer
from seqscale.files import read_json, sha256_of


@dataclass(frozen=True)
class Batch:
    """inputs and targets, (batch, length), int64. Targets of IGNORE ask nothing."""

    inputs: np.ndarray
    targets: np.ndarray


class Dataset(Protocol):
    """What training and evaluation need of data."""

    meta: dict[str, Any]

    @property
    def vocab_size(self) -> int: ...

    def train_batch(self, seed: int, step: int, batch: int, context: int) -> Batch:
        """The batch of step `step` (from 0)."""

    def eval_batches(self, split: str, batch: int, context: int) -> Iterator[Batch]:
        """The whole split, each target once, in order."""


@functools.lru_cache(maxsize=2)
def _epoch_order(seed: int, epoch: int, rows: int, context: int) -> tuple[int, np.ndarray]:
    """Where the rows of an epoch start, and the order in which they are visited."""
    rng = np.random.default_rng([seed, epoch])
    return int(rng.integers(context)), rng.permutation(rows)


class TextDataset:
    """Token files, memory-mapped. A training row is `context` tokens and the same shifted by one.

    An epoch cuts the training split into rows from a random offset and visits them in random order; both are drawn
    from (seed, epoch), so step s needs no history.
    """

    def __init__(self, folder: Path, meta: dict[str, Any]) -> None:
        self.meta = meta
        dtype = np.dtype(meta["dtype"])
        for split in SPLITS:
            if sha256_of(folder / f"{split}.bin") != meta["files_sha256"][split]:
                raise ValueError(
                    f"{folder / split}.bin is not the file that was prepared (its checksum differs from meta.json's). "
                    f"Delete {folder} and run again: it will be prepared anew."
                )
        self._tokens = {split: np.memmap(folder / f"{split}.bin", dtype=dtype, mode="r") for split in SPLITS}
        self.tokenizer = CharacterTokenizer(meta["vocabulary"])

    @property
    def vocab_size(self) -> int:
        return len(self.tokenizer)

    def train_batch(self, seed: int, step: int, batch: int, context: int) -> Batch:
        tokens = self._tokens["train"]
        rows_per_epoch = (len(tokens) - 1) // context - 1  # one row less: room for the offset
        rows_per_epoch -= rows_per_epoch % batch
        if rows_per_epoch <= 0:
            raise ValueError(
                f"{self.meta['dataset']}: {len(tokens):,} tokens are too few for a batch of {batch} x {context}"
            )
        epoch, first = divmod(step * batch, rows_per_epoch)
        offset, order = _epoch_order(seed, epoch, rows_per_epoch, context)
        rows = order[first : first + batch]
        block = np.stack([tokens[offset + r * context : offset + (r + 1) * context + 1] for r in rows]).astype(np.int64)
        return Batch(block[:, :-1], block[:, 1:])

    def eval_batches(self, split: str, batch: int, context: int) -> Iterator[Batch]:
        tokens = self._tokens[split]
        targets = len(tokens) - 1
        whole = targets // context
        for first in range(0, whole, batch):
            rows = range(first, min(first + batch, whole))
            block = np.stack([tokens[r * context : (r + 1) * context + 1] for r in rows]).astype(np.int64)
            yield Batch(block[:, :-1], block[:, 1:])
        if targets % context:  # the last, shorter window: no token is left out
            block = np.asarray(tokens[whole * context :], dtype=np.int64)[None]
            yield Batch(block[:, :-1], block[:, 1:])


class SyntheticDataset:
    """A generated task. Streams: validation 0 and test 1, the same for all; training seed + 2."""

    def __init__(self, meta: dict[str, Any]) -> None:
        self.meta = meta
        self.task = make_task({"kind": meta["kind"], **meta["parameters"]})

    @property
    def vocab_size(self) -> int:
        return self.task.vocab_size

    def train_batch(self, seed: int, step: int, batch: int, context: int) -> Batch:
        if context != self.task.total_length:  # tokens and operations are counted by the context
            raise ValueError(
                f"{self.meta['dataset']}: a context of {context} does not fit the task, whose examples have "
                f"{self.task.total_length} positions"
            )
        return Batch(*self.task.examples(seed + 2, step * batch, batch))

    def eval_batches(self, split: str, batch: int, context: int) -> Iterator[Batch]:
        stream, count = {"valid": 0, "test": 1}[split], self.meta["examples"][split]
        for start in range(0, count, batch):
            yield Batch(*self.task.examples(stream, start, min(batch, count - start)))

    @property
    def long_lengths(self) -> list[int]:
        """The lengths at which the task is also tested; none for most tasks."""
        return sorted((self.meta.get("extrapolation") or {}).get("lengths", ()))

    def long_batches(self, length: int, batch: int) -> Iterator[Batch]:
        """The test at another length, from the test's stream."""
        task, count = at_length(self.task, length), self.meta["extrapolation"]["examples"]
        for start in range(0, count, batch):
            yield Batch(*task.examples(1, start, min(batch, count - start)))


def open_dataset(folder: str | Path) -> TextDataset | SyntheticDataset:
    """Open a folder that `prepare` made."""
    folder = Path(folder)
    meta = read_json(folder / "meta.json")
    return TextDataset(folder, meta) if meta["task"] == "text" else SyntheticDataset(meta)


__all__ = ["IGNORE", "Batch", "Dataset", "SyntheticDataset", "TextDataset", "open_dataset"]
