"""Induction heads, associative recall, delayed copying: the rule solves each, and nothing gives the answer away."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqscale.config.tasks import PARAMETERS, misfit, total_length
from seqscale.data import open_dataset, prepare
from seqscale.data.batches import SyntheticDataset
from seqscale.data.synthetic import (
    IGNORE,
    TASKS,
    AssociativeRecall,
    DelayedCopying,
    InductionHeads,
    SelectiveCopying,
    at_length,
    make_task,
)

SPECS: dict[str, dict[str, Any]] = {
    "selective_copying": {"length": 12, "n_data": 3, "vocab": 4},
    "induction_heads": {"length": 12, "vocab": 5},
    "associative_recall": {"length": 16, "n_pairs": 4, "vocab": 6},
    "delayed_copying": {"delay": 7, "n_data": 3, "vocab": 4},
}
SIZES = {"valid_examples": 10, "test_examples": 7}


@pytest.mark.parametrize("kind", TASKS)
def test_an_example_is_a_function_of_seed_and_index(kind: str) -> None:
    task = make_task({"kind": kind, **SPECS[kind]})
    inputs, targets = task.examples(5, 0, 30)
    part = task.examples(5, 11, 6)
    assert inputs.shape == targets.shape == (30, task.total_length)
    assert np.array_equal(part[0], inputs[11:17])
    assert np.array_equal(part[1], targets[11:17])
    assert not np.array_equal(task.examples(6, 0, 30)[0], inputs)
    assert ((targets != IGNORE).sum(axis=1) == task.answers).all()
    assert 0 <= inputs.min() <= inputs.max() < task.vocab_size
    assert targets.max() < task.vocab_size


def test_induction_heads_ask_for_what_followed_the_trigger() -> None:
    inputs, targets = InductionHeads(length=9, vocab=4).examples(0, 0, 400)
    assert (inputs[:, -1] == 0).all()
    assert ((inputs == 0).sum(axis=1) == 2).all(), "once among the tokens, and once to ask"
    first = (inputs[:, :-1] == 0).argmax(axis=1)
    assert np.array_equal(targets[:, -1], inputs[np.arange(400), first + 1])
    assert (targets[:, :-1] == IGNORE).all()
    assert set(first) == set(range(7)), "any place, but for the last two"
    share = np.bincount(targets[:, -1], minlength=5)[1:] / 400
    assert abs(share - 1 / 4).max() < 0.08, "the answer is no token more than another"


def test_associative_recall_asks_for_each_key_once() -> None:
    task = AssociativeRecall(length=16, n_pairs=4, vocab=6)
    for row, asked in zip(*task.examples(0, 0, 300), strict=True):
        table = dict(row[:8].reshape(4, 2).tolist())
        assert len(table) == 4
        assert all(1 <= k <= 6 < v <= 12 for k, v in table.items())
        queries = np.flatnonzero(asked != IGNORE)
        assert queries.min() >= 8
        assert sorted(row[queries]) == sorted(table)
        assert [table[k] for k in row[queries]] == asked[queries].tolist()
        rest = np.delete(row[8:], queries - 8)
        assert (rest == 0).all(), "the answers must not be among the inputs"


def test_queries_come_soon_more_often_than_late() -> None:
    _, targets = AssociativeRecall(length=64, n_pairs=2, vocab=8).examples(0, 0, 500)
    asked = (targets[:, 4:] != IGNORE).sum(axis=0)
    assert asked[:10].sum() > 2 * asked[-10:].sum() > 0


def test_delayed_copying_asks_for_the_beginning() -> None:
    inputs, targets = DelayedCopying(delay=7, n_data=3, vocab=4).examples(0, 0, 100)
    assert (inputs[:, 3:10] == 0).all()
    assert (inputs[:, 10:] == 1).all()
    assert np.array_equal(targets[:, 10:], inputs[:, :3])
    assert set(inputs[:, :3].ravel()) == {2, 3, 4, 5}


@pytest.mark.parametrize("kind", TASKS)
def test_prepared_and_opened_again(kind: str, tmp_path: Path) -> None:
    spec = {"kind": kind, **SPECS[kind], **SIZES}
    prepare("it", spec, tmp_path, None)
    data = open_dataset(tmp_path)
    assert isinstance(data, SyntheticDataset)
    assert data.task == make_task(spec)
    total = total_length(spec)
    batches = [
        data.train_batch(1, 0, 8, total),
        *data.eval_batches("valid", 4, total),
        *data.eval_batches("test", 4, total),
    ]
    rows = [row.tobytes() for batch in batches for row in batch.inputs]
    assert len(rows) == 8 + 10 + 7
    assert sum((b.targets != IGNORE).sum() for b in data.eval_batches("test", 4, total)) == data.meta["tokens"]["test"]
    assert data.long_lengths == []


def test_longer_examples_of_the_same_task(tmp_path: Path) -> None:
    extrapolation = {"lengths": [64, 12, 30], "examples": 5}
    prepare(
        "it",
        {"kind": "induction_heads", **SPECS["induction_heads"], **SIZES, "extrapolation": extrapolation},
        tmp_path,
        None,
    )
    data = open_dataset(tmp_path)
    assert isinstance(data, SyntheticDataset)
    assert data.long_lengths == [12, 30, 64]
    for length in data.long_lengths:
        whole = np.concatenate([b.inputs for b in data.long_batches(length, 2)])
        assert whole.shape == (5, length)
    own = np.concatenate([b.inputs for b in data.eval_batches("test", 4, 12)])
    assert np.array_equal(np.concatenate([b.inputs for b in data.long_batches(12, 2)]), own[:5]), (
        "the test's own stream"
    )


def test_only_tasks_of_any_length_are_tested_at_others() -> None:
    with pytest.raises(ValueError, match="SelectiveCopying is not tested at other lengths"):
        at_length(SelectiveCopying(12, 3, 4), 20)


def test_config_and_data_know_the_same_tasks() -> None:
    assert PARAMETERS.keys() == TASKS.keys() == SPECS.keys()
    for kind, spec in SPECS.items():
        assert tuple(spec) == PARAMETERS[kind]
        assert misfit({"kind": kind, **spec}) is None


@pytest.mark.parametrize(
    ("spec", "key", "words"),
    [
        ({"kind": "selective_copying", "length": 3, "n_data": 4, "vocab": 2}, "n_data", "4 tokens do not fit in 3"),
        ({"kind": "induction_heads", "length": 3, "vocab": 2}, "length", "must be at least 4"),
        ({"kind": "associative_recall", "length": 20, "n_pairs": 5, "vocab": 4}, "n_pairs", "5 different keys"),
        ({"kind": "associative_recall", "length": 14, "n_pairs": 5, "vocab": 9}, "length", "need 15 positions"),
    ],
    ids=["copying", "induction", "keys", "room"],
)
def test_what_does_not_fit(spec: dict[str, Any], key: str, words: str) -> None:
    found = misfit(spec)
    assert found is not None
    assert found[0] == key
    assert words in found[1]
