"""How a scan is cut for the GPU, worked out once for each size: chunks of time, blocks of channels, scratch memory.

A program takes BLOCK channels through one chunk, so the parallelism is batch * chunks * d_inner / BLOCK whatever the
shape. The numbers here were measured on an H200; kernels/README.md tells what else was tried.
"""

import functools
from dataclasses import dataclass

BLOCK = 32  # channels of a program: one a lane in the walk
KEEP_EVERY = 4  # tokens between the states that the backward writes out for itself
PROGRAMS = 4096  # aimed at when the chunk length is chosen: 2 to 4 rounds of what an H200 holds at once
CHUNK_STEP, CHUNK_MIN, CHUNK_MAX = 16, 32, 2048
WHOLE_FROM = 2112  # programs without chunks that fill 132 multiprocessors: 16 warps for each
WORKSPACE_BYTES = 4 * 2**30  # scratch memory of one backward; channels beyond it are taken in turns


@dataclass(frozen=True)
class Plan:
    """The cut of one size.

    Attributes:
        chunk, chunks: tokens in a chunk; chunks for each sequence (0 when packed).
        slots: chunks of all sequences.
        rows: sequences, that is rows of the states.
        blocks: blocks of channels in a group of B and C.
        NB: d_state rounded up to a power of two.
        exact: every program has all of its channels, states and tokens: no access needs a mask.
        whole: the forward needs no chunks, there are enough programs (or there is only one chunk).
        num_warps: 16 states in each lane's registers, so that many warps for the rest.
    """

    batch: int
    length: int
    d_inner: int
    d_state: int
    groups: int
    packed: bool
    chunk: int
    chunks: int
    slots: int
    rows: int
    blocks: int
    NB: int
    exact: bool
    whole: bool
    num_warps: int

    @property
    def per_group(self) -> int:
        return self.d_inner // self.groups

    @property
    def sizes(self) -> tuple[int, ...]:
        """What every kernel is told, in its order; the first is the 0 that is hidden from the compiler."""
        return (
            0, self.length, self.d_inner, self.d_state, self.chunk, self.chunks, self.slots,
            self.groups, self.per_group, self.blocks,
        )  # fmt: skip

    @property
    def kept(self) -> int:
        """float32 values of the states that the backward writes out: one state every KEEP_EVERY tokens."""
        return self.slots * (self.chunk // KEEP_EVERY) * self.blocks * self.groups * self.NB * BLOCK

    @property
    def workspace_bytes(self) -> int:
        """Scratch memory of the backward: states kept, delta as used, partial sums of dB and dC."""
        tokens = self.batch * self.length
        return 4 * (self.kept + tokens * self.d_inner + 2 * self.blocks * self.groups * tokens * self.d_state)


def _divide(a: int, b: int) -> int:
    return -(-a // b)


def chunking(batch: int, length: int, d_inner: int, sequences: int | None) -> tuple[int, int, int, int]:
    """How time is cut: (chunk, chunks for each sequence, slots, rows of states), see `Plan`.

    Arithmetic alone, so that sizes may be symbols (`torch.compile` with dynamic shapes).
    """
    chunks = max(1, PROGRAMS // max(1, batch * _divide(d_inner, BLOCK)))
    longest = length if sequences is None else _divide(length, max(1, sequences))
    chunk = min(_divide(length, chunks), CHUNK_MAX, longest)
    chunk = max(CHUNK_MIN, _divide(chunk, CHUNK_STEP) * CHUNK_STEP)
    if sequences is not None:
        return chunk, 0, length // chunk + sequences, sequences
    chunks = max(1, _divide(length, chunk))
    return chunk, chunks, batch * chunks, batch


@functools.lru_cache(maxsize=4096)
def plan(
    batch: int, length: int, d_inner: int, d_state: int, groups: int, sequences: int | None, width: int | None = None
) -> Plan:
    """Cut a scan.

    Args:
        sequences: None where the batch is not packed.
        width: channels of this call, where only some of the d_inner are taken. Time is cut as for all of them in one
            group: the states that the forward kept, at the chunks' starts, must serve every backward.
    """
    chunk, chunks, slots, rows = chunking(batch, length, d_inner, sequences)
    width = d_inner if width is None else width
    per_group = width // groups
    blocks = _divide(per_group, BLOCK)
    NB = 1 << (d_state - 1).bit_length()
    return Plan(
        batch, length, width, d_state, groups, sequences is not None, chunk, chunks, slots, rows, blocks, NB,
        exact=sequences is None and d_state == NB and per_group % BLOCK == 0 and length % CHUNK_STEP == 0,
        whole=sequences is None and (chunks == 1 or batch * blocks * groups >= WHOLE_FROM),
        num_warps=max(1, NB // 16),
    )  # fmt: skip
