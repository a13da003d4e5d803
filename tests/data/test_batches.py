"""Batches: a pure function of (seed, step); evaluation that leaves nothing out."""

import numpy as np
import pytest

from seqscale.data import open_dataset, prepare
from seqscale.data.batches import TextDataset

TEXT = "".join(chr(0x100 + i) for i in range(1000))  # every character once: a token tells its place


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> TextDataset:
    folder = tmp_path_factory.mktemp("text")
    (folder / "t.txt").write_text(TEXT, encoding="utf-8")
    spec = {"kind": "text", "path": str(folder / "t.txt"), "tokenizer": "characters", "split": [0.8, 0.1, 0.1]}
    prepare("t", spec, folder / "out", None, context=4)
    opened = open_dataset(folder / "out")
    assert isinstance(opened, TextDataset)
    return opened


def test_targets_are_the_next_tokens(data: TextDataset) -> None:
    batch = data.train_batch(seed=1, step=3, batch=4, context=9)
    assert batch.inputs.shape == batch.targets.shape == (4, 9)
    assert batch.inputs.dtype == batch.targets.dtype == np.int64
    assert np.array_equal(batch.targets, batch.inputs + 1)


def test_a_batch_depends_on_seed_and_step_alone(data: TextDataset) -> None:
    ahead = [data.train_batch(5, step, 4, 9).inputs for step in range(60)]
    for step in (59, 0, 30, 7):  # in any order, without the ones before
        assert np.array_equal(data.train_batch(5, step, 4, 9).inputs, ahead[step])
    assert not np.array_equal(data.train_batch(6, 0, 4, 9).inputs, ahead[0])
    assert not np.array_equal(ahead[0], ahead[1])


@pytest.mark.parametrize(("batch", "context"), [(4, 9), (1, 1), (7, 20), (16, 8)], ids=str)
def test_an_epoch_visits_each_row_once(data: TextDataset, batch: int, context: int) -> None:
    """No token is a target twice in an epoch; but for the offset and the last incomplete batch, all are targets."""
    rows = (800 - 1) // context - 1
    steps = rows // batch
    for epoch in range(3):
        seen = np.concatenate(
            [data.train_batch(2, epoch * steps + s, batch, context).targets.ravel() for s in range(steps)]
        )
        assert len(np.unique(seen)) == len(seen) == steps * batch * context
        assert seen.min() >= 1
        assert seen.max() < 800, "training must not see the validation split"
        # the rows tile one stretch of the text, from the epoch's offset to the end of the last whole batch
        assert seen.max() - seen.min() + 1 == len(seen)


def test_epochs_differ_in_offset_and_order(data: TextDataset) -> None:
    steps = ((800 - 1) // 9 - 1) // 4
    firsts = {data.train_batch(2, epoch * steps, 4, 9).inputs[0, 0].item() for epoch in range(6)}
    offsets = {
        min(data.train_batch(2, e * steps + s, 4, 9).inputs.min() for s in range(steps)).item() for e in range(6)
    }
    assert len(firsts) >= 4
    assert len(offsets) >= 3
    assert max(offsets) < 9


def test_too_little_text_for_a_batch(data: TextDataset) -> None:
    with pytest.raises(ValueError, match=r"t: 800 .*tokens are too few .*a batch of 100 x 9"):
        data.train_batch(0, 0, 100, 9)


@pytest.mark.parametrize("split", ["valid", "test"])
@pytest.mark.parametrize(("batch", "context"), [(4, 9), (3, 11), (1, 1), (5, 99), (100, 1), (2, 200)], ids=str)
def test_evaluation_asks_for_each_token_once_in_order(data: TextDataset, split: str, batch: int, context: int) -> None:
    """The inputs and the last target give the split back; 11 x 9 = 99 targets leave no shorter window."""
    pieces = list(data.eval_batches(split, batch, context))
    targets = np.concatenate([p.targets.ravel() for p in pieces])
    inputs = np.concatenate([p.inputs.ravel() for p in pieces])
    first = {"valid": 800, "test": 900}[split]
    assert np.array_equal(targets, np.arange(first + 1, first + 100))
    assert np.array_equal(inputs, np.arange(first, first + 99))
    assert all(p.inputs.shape[0] <= batch and p.inputs.shape[1] <= context for p in pieces)
    assert all(p.inputs.shape == p.targets.shape for p in pieces)
