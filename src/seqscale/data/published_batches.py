"""Batches as the sources drew them; like all batches here a pure function of (seed, step).

epochs  the fair protocol's, see `TextDataset.train_batch`
random  windows at random places, drawn with replacement (source 000: `get_batch` of the nanoGPT lecture)
rows    the text cut once into rows of context + 1 tokens, shuffled anew in each epoch (source 001)
"""

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np

from seqscale.data.batches import Batch, Dataset, LabelledBatch, TextDataset

TEST_STREAM = 1  # told apart from training by the second number of the random seed


def draw(data: Dataset, run: dict[str, Any], step: int) -> Batch | LabelledBatch:
    """The training batch of step `step` (from 0), drawn as the run's config says.

    Raises:
        ValueError: the data is no text, or too short.
    """
    how = run.get("batches", "epochs")
    if how == "epochs":
        return data.train_batch(run["seed"], step, run["batch"], run["context"])
    if not isinstance(data, TextDataset):
        raise ValueError(f"{data.meta['dataset']}: batches {how!r} are cut from a text, and this is none")
    cut = {"random": _random_windows, "rows": _shuffled_rows}[how]
    return cut(data.tokens("train"), run["seed"], step, run["batch"], run["context"])


def estimate_batches(data: Dataset, run: dict[str, Any]) -> Iterator[Batch]:
    """The `test_batches` random batches of the test split that a published loss was estimated on.

    Odd: tokens may be drawn several times or never, so another seed gives another loss for the same model.
    """
    if not isinstance(data, TextDataset):
        raise ValueError(f"{data.meta['dataset']}: random test batches are cut from a text, and this is none")
    for index in range(run["test_batches"]):
        yield _random_windows(data.tokens("test"), run["seed"], index, run["batch"], run["context"], TEST_STREAM)


def _random_windows(tokens: np.ndarray, seed: int, step: int, batch: int, context: int, stream: int = 0) -> Batch:
    if len(tokens) <= context:
        raise ValueError(f"{len(tokens):,} tokens are too few for a window of {context} and one to predict")
    starts = np.random.default_rng([seed, stream, step]).integers(len(tokens) - context, size=batch)
    block = np.stack([tokens[start : start + context + 1] for start in starts]).astype(np.int64)
    return Batch(block[:, :-1], block[:, 1:])


def _shuffled_rows(tokens: np.ndarray, seed: int, step: int, batch: int, context: int) -> Batch:
    """Rows start every context + 1 tokens, so the first token of a row is never asked for.

    The last, incomplete batch of an epoch is left out (22 of source 001's 18,870 rows), so that every step has the
    same size.
    """
    width = context + 1
    per_epoch = len(tokens) // width // batch
    if per_epoch == 0:
        raise ValueError(f"{len(tokens):,} tokens are too few for a batch of {batch} rows of {width}")
    epoch, index = divmod(step, per_epoch)
    rows = _row_order(seed, epoch, len(tokens) // width)[index * batch : (index + 1) * batch]
    block = np.stack([tokens[row * width : (row + 1) * width] for row in rows]).astype(np.int64)
    return Batch(block[:, :-1], block[:, 1:])


@functools.lru_cache(maxsize=2)
def _row_order(seed: int, epoch: int, rows: int) -> np.ndarray:
    return np.random.default_rng([seed, epoch]).permutation(rows)
