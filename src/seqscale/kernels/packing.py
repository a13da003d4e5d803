"""Packed sequences: several of them laid end to end in one batch row, told apart by `cu_seqlens`.

`cu_seqlens` = [0, ends...] holds the cumulative lengths: sequence s is tokens cu_seqlens[s] to cu_seqlens[s + 1]. It
may repeat a value (an empty sequence). A state starts anew at every boundary, and there is one state per sequence.

Who checks what. Shape and dtype are checked for every tensor. Values are checked where they can be read without
stopping the device: on a CPU always, on a GPU never (call `check_cu_seqlens_values` yourself when in doubt; it waits
for the device). What the kernels read on a GPU is cut to the sequence by `chunk_table`, so wrong values give wrong
results there but never an access outside of the tensors.
"""

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor


class ChunkTable(NamedTuple):
    """How packed sequences are cut into chunks, one row per slot; int64, on the device of cu_seqlens.

    A slot is tokens begin to end of one sequence. A sequence's slots are consecutive, from first_slot[s] to
    first_slot[s + 1]; every sequence has at least one, an empty sequence one with begin == end. Slots that are left
    over at the end have begin == end and sequence -1.
    """

    begin: Tensor  # (slots,)
    end: Tensor  # (slots,)
    sequence: Tensor  # (slots,)
    first_slot: Tensor  # (sequences + 1,)


def check_cu_seqlens(cu_seqlens: Tensor, batch: int) -> None:
    """Check what can be known without reading values.

    Raises:
        ValueError: not a one-dimensional int32 or int64 tensor of at least two values, or a batch other than 1.
    """
    if cu_seqlens.ndim != 1 or cu_seqlens.dtype not in (torch.int32, torch.int64) or cu_seqlens.shape[0] < 2:
        raise ValueError(
            "cu_seqlens must be a one-dimensional int32 or int64 tensor [0, end of the first sequence, ..., length]; "
            f"got {cu_seqlens.dtype} of shape {tuple(cu_seqlens.shape)}"
        )
    if batch != 1:
        raise ValueError(f"packed sequences lie in one batch row: with cu_seqlens, batch must be 1; got {batch}")


def check_cu_seqlens_values(cu_seqlens: Tensor, length: int) -> None:
    """Check the values. Waits for the device where cu_seqlens is on one.

    Raises:
        ValueError: values that do not rise from 0 to `length`; the message names the first that is wrong.
    """
    values = cu_seqlens.tolist()
    if values[0] != 0:
        raise ValueError(f"cu_seqlens must start with 0; got {values[0]}")
    for s, (begin, end) in enumerate(pairwise(values)):
        if end < begin:
            raise ValueError(
                f"cu_seqlens must not decrease: it holds the sequences' ends, not their lengths; "
                f"value {s + 1} is {end} after {begin}"
            )
    if values[-1] != length:
        raise ValueError(f"cu_seqlens must end with the length of the packed row, {length}; got {values[-1]}")


def sequence_index(cu_seqlens: Tensor, length: int) -> Tensor:
    """The sequence that each token belongs to, (length,) int64; without waiting for the device."""
    tokens = torch.arange(length, device=cu_seqlens.device, dtype=cu_seqlens.dtype)
    return torch.searchsorted(cu_seqlens[1:].contiguous(), tokens, right=True)


def slot_count(length: int, chunk: int, sequences: int) -> int:
    """How many slots are enough for any way of packing `sequences` sequences into `length` tokens.

    Sequence s needs max(1, ceil(length_s / chunk)) <= length_s // chunk + 1 slots.
    """
    return length // chunk + sequences


def chunk_table(cu_seqlens: Tensor, chunk: int, length: int) -> ChunkTable:
    """Cut every sequence into chunks of `chunk` tokens (its last one shorter), without waiting for the device.

    The number of slots, `slot_count`, depends on host numbers only, so buffers and launch grids can be sized before
    the values are known. The table is kept with the tensor: a model's layers, which are all given the same
    cu_seqlens, make it once.

    Args:
        cu_seqlens: (sequences + 1,), int32 or int64.
        chunk: tokens per chunk, at least 1. length: tokens of the packed row.
    """
    # Not while a CUDA graph is captured: the graph must hold the work, to be right when it is replayed with other
    # values. Tensors made in inference mode have no version to tell an old table by.
    keep = not cu_seqlens.is_inference() and not (cu_seqlens.is_cuda and torch.cuda.is_current_stream_capturing())
    if not keep:
        return _chunk_table(cu_seqlens, chunk, length)
    kept: dict[tuple[int, int, int], ChunkTable] = cu_seqlens.__dict__.setdefault("_seqscale_chunk_tables", {})
    key = (cu_seqlens._version, chunk, length)
    table = kept.get(key)
    if table is None:
        if any(version != key[0] for version, _, _ in kept):
            kept.clear()
        table = kept[key] = _chunk_table(cu_seqlens, chunk, length)
    return table


def _chunk_table(cu_seqlens: Tensor, chunk: int, length: int) -> ChunkTable:
    ends = cu_seqlens.to(torch.int64).clamp(0, length)
    slots = slot_count(length, chunk, cu_seqlens.shape[0] - 1)
    needed = ((ends[1:] - ends[:-1] + (chunk - 1)) // chunk).clamp_(min=1)
    first_slot = torch.zeros_like(ends)
    torch.cumsum(needed, 0, out=first_slot[1:])
    first_slot.clamp_(max=slots)  # reached by wrong values only
    slot = torch.arange(slots, device=ends.device)
    sequence = torch.searchsorted(first_slot[1:], slot, right=True)
    used = sequence < needed.shape[0]
    owner = sequence.clamp(max=needed.shape[0] - 1)
    begin = torch.where(used, ends[owner] + (slot - first_slot[owner]) * chunk, 0)
    end = torch.where(used, torch.minimum(begin + chunk, ends[owner + 1]), 0)
    return ChunkTable(torch.minimum(begin, end), end, torch.where(used, sequence, -1), first_slot)
