"""The carry over chunks: from each chunk's summary, the value at its start (forward) or at its end (backward).

A chunk maps the value v that enters it to decay * v + own, with decay = exp(A * sum of delta) for each state. Forward,
v is the state and chunks are taken in order; backward, v is the gradient that reaches the chunk's end from later
tokens, already decayed, and chunks are taken from the last to the first. One program walks the chunks of one sequence
for BE (state, channel) pairs; AHEAD summaries are loaded at a time.
"""

import triton
import triton.language as tl

from seqscale.kernels.gpu.scan_math import LOG2E


@triton.jit
def carry_kernel(
    own, sums, A, enter, entering, leaving, first_slot,
    d_inner, d_state, chunks,
    BE: tl.constexpr, AHEAD: tl.constexpr, REVERSE: tl.constexpr, PACKED: tl.constexpr,
):  # fmt: skip
    """own, entering: (slots, d_state, d_inner) float32, possibly the same; sums: (slots, d_inner); A: (d_state,
    d_inner). `enter`, (sequences, d_state, d_inner) or None for zeros, enters the first chunk; `leaving`, likewise,
    takes what leaves the last."""
    sequence = tl.program_id(1).to(tl.int64)
    pairs = d_inner * d_state
    e = tl.program_id(0) * BE + tl.arange(0, BE)
    emask = e < pairs
    d = e % d_inner
    if PACKED:
        begin = tl.load(first_slot + sequence).to(tl.int64)
        count = tl.load(first_slot + sequence + 1).to(tl.int64) - begin
    else:
        begin = sequence * chunks
        count = begin * 0 + chunks
    summaries = count
    if leaving is None:
        summaries = count - 1  # the last chunk has none, and what leaves it is found elsewhere
    A2 = tl.load(A + e, mask=emask, other=0.0).to(tl.float32) * LOG2E
    v = tl.zeros([BE], tl.float32)
    if enter is not None:
        v = tl.load(enter + sequence * pairs + e, mask=emask, other=0.0).to(tl.float32)
    for c in range(0, count, AHEAD):
        owns = ()
        totals = ()
        for j in tl.static_range(AHEAD):
            slot = begin + (count - 1 - c - j if REVERSE else c + j)
            here = emask & (c + j < summaries)
            owns = owns + (tl.load(own + slot * pairs + e, mask=here, other=0.0),)
            totals = totals + (tl.load(sums + slot * d_inner + d, mask=here, other=0.0),)
        for j in tl.static_range(AHEAD):
            slot = begin + (count - 1 - c - j if REVERSE else c + j)
            tl.store(entering + slot * pairs + e, v, mask=emask & (c + j < count))
            v = tl.exp2(totals[j] * A2) * v + owns[j]
    if leaving is not None:
        tl.store(leaving + sequence * pairs + e, v, mask=emask)
