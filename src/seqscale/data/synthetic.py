"""Generated tasks. An example is a pure function of (seed, index), so nothing needs to be stored or shuffled."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from seqscale.config.tasks import parameters, total_length

IGNORE = -100  # the target at positions that ask nothing (PyTorch's ignore_index)

Examples = tuple[np.ndarray, np.ndarray]


class Task(Protocol):
    """What a task owes. `answers` is how many targets an example has; `total_length` how many positions."""

    @property
    def vocab_size(self) -> int: ...
    @property
    def total_length(self) -> int: ...
    @property
    def answers(self) -> int: ...

    def examples(self, seed: int, start: int, count: int) -> Examples:
        """Examples start ... start + count - 1 of the stream `seed`.

        Returns:
            inputs and targets, (count, total_length), int64; targets are IGNORE where nothing is asked.
        """


@dataclass(frozen=True)
class SelectiveCopying:
    """Selective copying (Gu & Dao 2023, arXiv 2312.00752, section 4.1.1; Jing et al. 2019).

    `n_data` tokens lie scattered among `length` positions of noise; after them come `n_data` markers, at which the
    model must say the data tokens in order. Content decides what to remember, so a time-invariant system, which
    can only count distances, is expected to fail.

    Tokens: 0 noise, 1 marker, 2 ... vocab + 1 data.
    """

    length: int
    n_data: int
    vocab: int

    @property
    def vocab_size(self) -> int:
        return self.vocab + 2

    @property
    def total_length(self) -> int:
        """Positions per example: the scattered part and the answers."""
        return self.length + self.n_data

    @property
    def answers(self) -> int:
        return self.n_data

    def examples(self, seed: int, start: int, count: int) -> Examples:
        """See `Task`; targets stand at the markers."""
        inputs = np.zeros((count, self.total_length), dtype=np.int64)
        targets = np.full_like(inputs, IGNORE)
        for row in range(count):
            rng = np.random.default_rng([seed, start + row])
            data = rng.integers(2, self.vocab + 2, size=self.n_data)
            places = np.sort(rng.choice(self.length, size=self.n_data, replace=False))
            inputs[row, places] = data
            inputs[row, self.length :] = 1
            targets[row, self.length :] = data
        return inputs, targets


@dataclass(frozen=True)
class InductionHeads:
    """Induction heads (Olsson et al. 2022; as the Mamba paper has it, arXiv 2312.00752, section 4.1.2).

    Somewhere among random tokens stands the trigger, once; it is also the last token. Asked is the token that followed
    it the first time: to find it, a model must look for content at a distance that it cannot know.

    Tokens: 0 the trigger, 1 ... vocab the others.
    """

    length: int
    vocab: int

    @property
    def vocab_size(self) -> int:
        return self.vocab + 1

    @property
    def total_length(self) -> int:
        return self.length

    @property
    def answers(self) -> int:
        return 1

    def examples(self, seed: int, start: int, count: int) -> Examples:
        """See `Task`; the target stands at the last position."""
        inputs = np.empty((count, self.length), dtype=np.int64)
        targets = np.full_like(inputs, IGNORE)
        for row in range(count):
            rng = np.random.default_rng([seed, start + row])
            inputs[row] = rng.integers(1, self.vocab + 1, size=self.length)
            place = int(rng.integers(self.length - 2))  # its successor must lie before the last position
            inputs[row, place] = inputs[row, -1] = 0
            targets[row, -1] = inputs[row, place + 1]
        return inputs, targets


@dataclass(frozen=True)
class AssociativeRecall:
    """Multi-query associative recall, MQAR (Arora et al. 2023, Zoology, arXiv 2312.04927, section 3.2).

    First come `n_pairs` keys, each followed by its value; later each key comes once more, in random order, and its
    value is asked. Queries lie at distances drawn from a power law (most of them soon), blanks between them. A state of
    fixed size must hold all pairs; attention looks them up.

    Tokens: 0 blank, 1 ... vocab keys, vocab + 1 ... 2 vocab values.
    """

    length: int
    n_pairs: int
    vocab: int

    @property
    def vocab_size(self) -> int:
        return 2 * self.vocab + 1

    @property
    def total_length(self) -> int:
        return self.length

    @property
    def answers(self) -> int:
        return self.n_pairs

    def examples(self, seed: int, start: int, count: int) -> Examples:
        """See `Task`; targets stand at the queries."""
        inputs = np.zeros((count, self.length), dtype=np.int64)
        targets = np.full_like(inputs, IGNORE)
        room = self.length - 2 * self.n_pairs
        weight = np.arange(1, room + 1, dtype=np.float64) ** -0.99  # a = 0.01, as there
        for row in range(count):
            rng = np.random.default_rng([seed, start + row])
            keys = rng.choice(self.vocab, size=self.n_pairs, replace=False) + 1
            values = rng.integers(self.vocab + 1, 2 * self.vocab + 1, size=self.n_pairs)
            inputs[row, : 2 * self.n_pairs] = np.stack([keys, values], axis=1).ravel()
            places = 2 * self.n_pairs + rng.choice(room, size=self.n_pairs, replace=False, p=weight / weight.sum())
            inputs[row, places], targets[row, places] = keys, values
        return inputs, targets


@dataclass(frozen=True)
class DelayedCopying:
    """The copying memory task (Hochreiter & Schmidhuber 1997; as in Arjovsky et al. 2016, arXiv 1511.06464).

    `n_data` tokens, `delay` blanks, then `n_data` markers at which the tokens are asked in order. Nothing needs to be
    selected: a time-invariant system can do it if its state reaches back so far, so this is a task of memory alone.

    Tokens: 0 blank, 1 marker, 2 ... vocab + 1 data.
    """

    delay: int
    n_data: int
    vocab: int

    @property
    def vocab_size(self) -> int:
        return self.vocab + 2

    @property
    def total_length(self) -> int:
        return self.delay + 2 * self.n_data

    @property
    def answers(self) -> int:
        return self.n_data

    def examples(self, seed: int, start: int, count: int) -> Examples:
        """See `Task`; targets stand at the markers."""
        inputs = np.zeros((count, self.total_length), dtype=np.int64)
        targets = np.full_like(inputs, IGNORE)
        for row in range(count):
            data = np.random.default_rng([seed, start + row]).integers(2, self.vocab + 2, size=self.n_data)
            inputs[row, : self.n_data] = targets[row, -self.n_data :] = data
            inputs[row, -self.n_data :] = 1
        return inputs, targets


TASKS: dict[str, type[SelectiveCopying | InductionHeads | AssociativeRecall | DelayedCopying]] = {
    "selective_copying": SelectiveCopying,
    "induction_heads": InductionHeads,
    "associative_recall": AssociativeRecall,
    "delayed_copying": DelayedCopying,
}


def make_task(spec: Mapping[str, Any]) -> Task:
    """The task of an entry of datasets.yaml, or of a mapping with its `kind` and parameters."""
    task: Task = TASKS[spec["kind"]](**parameters(spec))
    assert task.total_length == total_length(spec), "config.tasks and this file must agree"
    return task


def at_length(task: Task, length: int) -> Task:
    """The same task in examples of another length.

    Raises:
        ValueError: the task has no length of its own.
    """
    if not isinstance(task, InductionHeads):
        raise ValueError(f"{type(task).__name__} is not tested at other lengths than the one it is trained at")
    return replace(task, length=length)
