"""Selective copying: the rule solves it, its streams do not meet."""

from pathlib import Path

import numpy as np
import pytest

from seqscale.data import open_dataset, prepare
from seqscale.data.batches import SyntheticDataset
from seqscale.data.synthetic import IGNORE, SelectiveCopying

TASK = SelectiveCopying(length=20, n_data=4, vocab=6)
SPEC = {"kind": "selective_copying", "length": 20, "n_data": 4, "vocab": 6, "valid_examples": 10, "test_examples": 7}


@pytest.fixture
def data(tmp_path: Path) -> SyntheticDataset:
    prepare("copying", SPEC, tmp_path, None)
    opened = open_dataset(tmp_path)
    assert isinstance(opened, SyntheticDataset)
    return opened


def test_the_rule_solves_it() -> None:
    """The data tokens in order of appearance are the answers, and nothing else is asked."""
    inputs, targets = TASK.examples(seed=3, start=0, count=200)
    assert inputs.shape == targets.shape == (200, TASK.total_length) == (200, 24)
    for row, asked in zip(inputs, targets, strict=True):
        scattered = row[:20]
        assert scattered[scattered >= 2].tolist() == asked[20:].tolist()
        assert (asked[:20] == IGNORE).all()
        assert (row[20:] == 1).all(), "the answers must not be among the inputs"
    assert set(np.unique(inputs)) == set(range(TASK.vocab_size))


def test_places_and_tokens_are_spread_evenly() -> None:
    inputs, targets = TASK.examples(seed=3, start=0, count=2000)
    at = (inputs[:, :20] >= 2).mean(0)
    assert abs(at - 4 / 20).max() < 0.05
    share = np.bincount(targets[:, 20:].ravel(), minlength=8)[2:] / (4 * 2000)
    assert abs(share - 1 / 6).max() < 0.03


def test_an_example_is_a_function_of_seed_and_index() -> None:
    whole, answers = TASK.examples(5, 0, 30)
    part, part_answers = TASK.examples(5, 11, 6)
    assert np.array_equal(part, whole[11:17])
    assert np.array_equal(part_answers, answers[11:17])
    assert len({row.tobytes() for row in whole}) == 30
    assert not np.array_equal(TASK.examples(6, 0, 30)[0], whole)


def test_streams_do_not_meet(data: SyntheticDataset) -> None:
    """Validation, test and the training of any seed are drawn from different streams; batches do not overlap."""

    def rows(batches: list[np.ndarray]) -> set[bytes]:
        return {row.tobytes() for batch in batches for row in batch}

    streams = [rows([b.inputs for b in data.eval_batches(split, 4, 24)]) for split in ("valid", "test")]
    streams += [rows([data.train_batch(seed, step, 8, 24).inputs for step in range(4)]) for seed in (0, 1, 2)]
    assert [len(s) for s in streams] == [10, 7, 32, 32, 32]
    assert len(set.union(*streams)) == sum(map(len, streams))


@pytest.mark.parametrize(("split", "count"), [("valid", 10), ("test", 7)])
@pytest.mark.parametrize("batch", [1, 3, 7, 100])
def test_evaluation_covers_all_examples(data: SyntheticDataset, split: str, count: int, batch: int) -> None:
    pieces = list(data.eval_batches(split, batch, 24))
    whole = np.concatenate([p.inputs for p in pieces])
    assert np.array_equal(whole, data.task.examples({"valid": 0, "test": 1}[split], 0, count)[0])
    assert sum((p.targets != IGNORE).sum() for p in pieces) == data.meta["tokens"][split] == 4 * count


def test_a_context_that_does_not_fit_is_refused(data: SyntheticDataset) -> None:
    """Tokens and operations are counted by the context; 25 would count more than is done."""
    with pytest.raises(ValueError, match="a context of 25 does not fit the task, whose examples have 24 positions"):
        data.train_batch(0, 0, 2, 25)
