"""Device functions that the convolution's kernels share: SiLU, the window of earlier inputs, packed sequences.

A *row* of a tile is a stretch of consecutive tokens of one sequence (or of several packed ones) that one group of
lanes walks in order; a tile holds several rows, side by side. Everything is computed in float32.
"""

import triton
import triton.language as tl
from triton import knobs
from triton.language.extra import libdevice

NEGATIVE_LOG2E = tl.constexpr(-1.4426950408889634)

if knobs.runtime.interpret:  # the interpreter has no libdevice

    @triton.jit
    def divide(x, y):
        return x / y

    @triton.jit
    def exp2(x):
        return tl.exp2(x)

else:

    @triton.jit
    def divide(x, y):
        return libdevice.fast_dividef(x, y)

    @triton.jit
    def exp2(x):
        return libdevice.exp2(x)


@triton.jit
def silu(x):
    # `/` and tl.exp2 would take care of denormal numbers, which add nothing to 1: 7 of 19 instructions an element
    return divide(x, 1.0 + exp2(x * NEGATIVE_LOG2E))


@triton.jit
def sigmoid(x):
    return divide(1.0, 1.0 + exp2(x * NEGATIVE_LOG2E))


@triton.jit
def where_am_i(channels, BLOCK: tl.constexpr):
    """(tile, its channels) of a program. Neighbours share their tokens: memory is read in whole rows at any time."""
    blocks = tl.cdiv(channels, BLOCK)
    tile = tl.program_id(0) // blocks
    return tile, (tl.program_id(0) - tile * blocks) * BLOCK + tl.arange(0, BLOCK)


@triton.jit
def load_parameters(weight, bias, c, exists, WIDTH: tl.constexpr):
    """The taps, a tuple of WIDTH vectors over channels, and the bias (zeros when None)."""
    taps = ()
    for k in tl.static_range(WIDTH):
        taps = taps + (tl.load(weight + c * WIDTH + k, mask=exists, other=0.0).to(tl.float32)[None, :],)
    offset = tl.zeros(c.shape, tl.float32)
    if bias is not None:
        offset = tl.load(bias + c, mask=exists, other=0.0).to(tl.float32)
    return taps, offset[None, :]


@triton.jit
def preactivation(window, taps, offset, WIDTH: tl.constexpr):
    """bias + sum_k weight_k x_{t-WIDTH+1+k}, from the WIDTH inputs up to the present one, oldest first."""
    total = offset + taps[0] * window[0]
    for k in tl.static_range(1, WIDTH):
        total += taps[k] * window[k]
    return total


@triton.jit
def locate(table, token, length, batch_row):
    """(sequence, position in it) of tokens: from the packing table, or (batch row, token) without one."""
    if table is None:
        sequence = token * 0 + batch_row
        position = token
    else:
        sequence = tl.load(table + token, mask=token < length, other=0)
        position = tl.load(table + length + token, mask=token < length, other=0)
    return sequence, position


@triton.jit
def history(x, stride_t, initial, sequence, position, c, exists, channels, WIDTH: tl.constexpr):
    """The WIDTH - 1 inputs before the tokens that the pointers `x` show: of their own sequence, or its initial state.

    sequence, position: (rows,). exists: (rows, channels) mask. Returns a tuple, oldest first, float32.
    """
    window = ()
    for back in tl.static_range(1, WIDTH):
        x -= stride_t  # not `x - back * stride_t`, which may pass 2^31
        earlier = tl.load(x, mask=(position >= back)[:, None] & exists, other=0.0).to(tl.float32)
        if initial is not None:
            index = sequence.to(tl.int64) * (WIDTH - 1) + (position + (WIDTH - 1 - back))
            given = initial + index[:, None] * channels + c[None, :]
            earlier += tl.load(given, mask=(position < back)[:, None] & exists, other=0.0).to(tl.float32)
        window = (earlier,) + window
    return window


@triton.jit
def restart(window, table, token, initial, c, exists, length, channels, WIDTH: tl.constexpr):
    """The window of packed tokens, and their positions: at a sequence's first token it is the initial state."""
    sequence, position = locate(table, token, length, 0)
    first = (position == 0)[:, None]
    fresh = ()
    for k in tl.static_range(WIDTH - 1):
        value = 0.0
        if initial is not None:
            given = initial + (sequence.to(tl.int64) * (WIDTH - 1) + k)[:, None] * channels + c[None, :]
            value = tl.load(given, mask=first & exists, other=0.0).to(tl.float32)
        fresh = fresh + (tl.where(first, value, window[k]),)
    return fresh, position


@triton.jit
def span(cu_seqlens, row, exists, length):
    """(begin, end) of sequences in the row of tokens; never outside of it, whatever cu_seqlens holds."""
    begin = row * 0
    end = row * 0 + length
    if cu_seqlens is not None:
        end = tl.load(cu_seqlens + row + 1, mask=exists, other=0)
        end = tl.maximum(tl.minimum(end, length), 0).to(tl.int32)
        begin = tl.load(cu_seqlens + row, mask=exists, other=0)
        begin = tl.minimum(tl.maximum(begin, 0), end).to(tl.int32)
    return begin, end


@triton.jit
def locate_kernel(cu_seqlens, table, length, sequences, rounds, BLOCK: tl.constexpr):
    """table (2, length) int32: each token's sequence and its position there, by bisection of cu_seqlens."""
    token = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    low = token * 0
    high = low + sequences - 1
    for _ in range(rounds):
        middle = (low + high + 1) // 2
        reached = tl.load(cu_seqlens + middle) <= token
        low = tl.where(reached, middle, low)
        high = tl.where(reached, high, middle - 1)
    begin = tl.load(cu_seqlens + low).to(tl.int32)
    inside = token < length
    tl.store(table + token, low, mask=inside)
    tl.store(table + length + token, tl.maximum(tl.minimum(token - begin, token), 0), mask=inside)
