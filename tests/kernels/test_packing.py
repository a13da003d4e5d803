"""Packed sequences: what is refused, whose a token is, and how sequences are cut into chunks."""

import random
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from seqscale.kernels.packing import (
    check_cu_seqlens,
    check_cu_seqlens_values,
    chunk_table,
    sequence_index,
    slot_count,
)


def packings() -> Iterator[list[int]]:
    """Lengths of packed sequences: by hand, then at random, empty ones among them."""
    yield from ([5], [0], [0, 0, 0], [1, 0, 1], [7, 7], [8, 8], [0, 9, 0], [1] * 9, [3, 0, 0, 20])
    rng = random.Random(0)
    for _ in range(40):
        yield [rng.choice((0, 1, 2, 7, 8, 9, 30)) for _ in range(rng.randint(1, 6))]


def ends_of(lengths: list[int], dtype: torch.dtype = torch.int32, device: Any = "cpu") -> Tensor:
    return torch.tensor([0, *lengths], device=device).cumsum(0).to(dtype)


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64], ids=str)
def test_every_token_belongs_to_its_sequence(dtype: torch.dtype, device: torch.device) -> None:
    for lengths in packings():
        expected = [s for s, n in enumerate(lengths) for _ in range(n)]
        found = sequence_index(ends_of(lengths, dtype, device), sum(lengths))
        assert found.tolist() == expected, lengths
        assert found.dtype == torch.int64


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64], ids=str)
@pytest.mark.parametrize("chunk", [1, 2, 8, 64])
def test_chunks_cover_every_sequence_and_cross_no_boundary(
    chunk: int, dtype: torch.dtype, device: torch.device
) -> None:
    for lengths in packings():
        total, count = sum(lengths), len(lengths)
        ends = ends_of(lengths, dtype, device)
        begin, end, sequence, first = (t.tolist() for t in chunk_table(ends, chunk, total))
        assert len(begin) == len(end) == len(sequence) == slot_count(total, chunk, count)
        assert len(first) == count + 1 and first[0] == 0
        for s, n in enumerate(lengths):
            own = range(first[s], first[s + 1])
            assert len(own) >= 1, f"sequence {s} of {lengths} has no slot"
            assert [sequence[i] for i in own] == [s] * len(own)
            tokens = [t for i in own for t in range(begin[i], end[i])]
            assert tokens == list(range(int(ends[s]), int(ends[s]) + n)), lengths
            assert all(end[i] - begin[i] <= chunk for i in own)
            assert all(end[i] - begin[i] == chunk for i in list(own)[:-1]), "only a sequence's last chunk is shorter"
        for i in range(first[count], len(begin)):
            assert begin[i] == end[i]
            assert sequence[i] == -1


def test_a_table_is_made_once_and_anew_when_values_change() -> None:
    ends = ends_of([4, 5])
    table = chunk_table(ends, 2, 9)
    assert chunk_table(ends, 2, 9) is table
    assert chunk_table(ends, 4, 9) is not table
    assert chunk_table(ends, 2, 9) is table
    ends[1] = 6
    changed = chunk_table(ends, 2, 9)
    assert changed.first_slot.tolist() == [0, 3, 5]
    assert table.first_slot.tolist() == [0, 2, 5]
    with torch.inference_mode():
        assert chunk_table(ends_of([4, 5]), 2, 9).first_slot.tolist() == [0, 2, 5]


def test_wrong_values_reach_no_token_outside() -> None:
    """On a GPU values are not checked; what kernels are told to read must still be there."""
    for values in ([0, 99], [3, 1, 9], [-5, 4, 200], [9, 0], [0, 9, 0, 9, 0, 9]):
        begin, end, sequence, first = chunk_table(torch.tensor(values), 4, 9)
        assert len(begin) == slot_count(9, 4, len(values) - 1)
        assert ((begin >= 0) & (begin <= end) & (end <= 9)).all(), values
        assert ((first >= 0) & (first <= len(begin))).all()
        assert ((sequence >= -1) & (sequence < len(values) - 1)).all()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU; PyTorch sees none here")
def test_the_device_is_not_waited_for() -> None:
    ends = ends_of([4, 0, 70], device="cuda")
    chunk_table(ends.clone(), 8, 74)  # whatever is loaded on first use
    torch.cuda.set_sync_debug_mode("error")
    try:
        check_cu_seqlens(ends, 1)
        chunk_table(ends, 16, 74)
        sequence_index(ends, 74)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU; PyTorch sees none here")
def test_a_captured_graph_sees_new_values() -> None:
    ends = ends_of([4, 5], device="cuda")
    chunk_table(ends, 2, 9)  # kept; the capture must not use it
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        table = chunk_table(ends, 2, 9)
    ends.copy_(ends_of([6, 3]))
    graph.replay()
    assert table.first_slot.tolist() == [0, 3, 5]


@pytest.mark.parametrize(
    ("cu_seqlens", "batch", "words"),
    [
        (torch.tensor([[0, 5]]), 1, r"one-dimensional int32 or int64 .* got torch.int64 of shape \(1, 2\)"),
        (torch.tensor([0.0, 5.0]), 1, "got torch.float32"),
        (torch.tensor([0]), 1, r"of shape \(1,\)"),
        (torch.tensor([0, 5]), 2, "batch must be 1; got 2"),
    ],
)
def test_wrong_shapes_are_refused(cu_seqlens: Tensor, batch: int, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        check_cu_seqlens(cu_seqlens, batch)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([1, 5], "must start with 0; got 1"),
        ([0, 4, 3, 5], "must not decrease: .* value 2 is 3 after 4"),
        ([0, 3, 4], "must end with the length of the packed row, 5; got 4"),
    ],
)
def test_wrong_values_are_refused(values: list[int], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        check_cu_seqlens_values(torch.tensor(values), 5)
