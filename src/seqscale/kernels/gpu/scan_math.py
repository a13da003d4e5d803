"""Small device functions that the scan's kernels share: softplus, sigmoid, and where a program stands."""

import triton
import triton.language as tl

LOG2E = tl.constexpr(1.4426950408889634)
LN2 = tl.constexpr(0.6931471805599453)


@triton.jit
def softplus(x):
    """log(1 + e^x) in float32, within 2e-7 relative for any x: max(x, 0) + log1p(e), e = e^-|x| in (0, 1].

    log1p(e) / e is a polynomial of degree 8, its error 3e-8 on [0, 1] (a Chebyshev fit). log2(1 + e) would lose all
    of a small e in the sum, and costs twice the instructions.
    """
    e = tl.exp2(-tl.abs(x) * LOG2E)
    p = 0.005253457796023025 * e - 0.029588507388484703
    p = p * e + 0.0783616680109936
    p = p * e - 0.13674769704837997
    p = p * e + 0.19111431080246266
    p = p * e - 0.2484436989238459
    p = p * e + 0.33319271342491946
    p = p * e - 0.49999501516786815
    p = p * e + 0.999999970540657
    return tl.maximum(x, 0.0) + p * e


@triton.jit
def sigmoid(x):
    return 1.0 / (1.0 + tl.exp2(-x * LOG2E))


@triton.jit
def step_size(raw, bias, SOFTPLUS: tl.constexpr):
    """delta as the recurrence uses it, from its stored row: float32, bias added, softplus where asked."""
    x = raw.to(tl.float32) + bias
    if SOFTPLUS:
        x = softplus(x)
    return x


@triton.jit
def fetch(pointer, mask, EXACT: tl.constexpr):
    """Load; zeros outside of the mask, which EXACT sizes (nothing to mask) do without."""
    if EXACT:  # noqa: SIM108 (one of the two is compiled)
        x = tl.load(pointer)
    else:
        x = tl.load(pointer, mask=mask, other=0.0)
    return x


@triton.jit
def put(pointer, x, mask, EXACT: tl.constexpr):
    """Store in the pointer's dtype; see `fetch`."""
    if EXACT:
        tl.store(pointer, x.to(pointer.dtype.element_ty))
    else:
        tl.store(pointer, x.to(pointer.dtype.element_ty), mask=mask)


@triton.jit
def per_channel(pointer, d, dmask, zero):
    """A (d_inner,) parameter in float32, zeros where it is None."""
    if pointer is not None:
        x = tl.load(pointer + zero + d, mask=dmask, other=0.0).to(tl.float32)
    else:
        x = tl.zeros(d.shape, tl.float32)
    return x


@triton.jit
def place(blocks_per_group, groups, per_group, BD: tl.constexpr):
    """This program's chunk slot and channels: (slot, block, group, channel indices, which of them exist).

    Programs that share rows of B and C (the blocks of one slot) are neighbours. A block never crosses a group.
    """
    blocks = blocks_per_group * groups
    slot = tl.program_id(0) // blocks
    block = tl.program_id(0) - slot * blocks
    group = block // blocks_per_group
    within = (block - group * blocks_per_group) * BD + tl.arange(0, BD)
    return slot, block, group, group * per_group + within, within < per_group


@triton.jit
def stretch(slot, table, length, chunk, chunks, slots, PACKED: tl.constexpr):
    """The tokens of a chunk slot: (row of the batch, first token, one past the last), int64.

    Packed sequences bring a table (2, slots) of begins and ends; otherwise row b has `chunks` slots, in order.
    """
    if PACKED:
        row = slot.to(tl.int64) * 0
        begin = tl.load(table + slot).to(tl.int64)
        end = tl.load(table + slots + slot).to(tl.int64)
    else:
        row = (slot // chunks).to(tl.int64)
        begin = (slot % chunks).to(tl.int64) * chunk
        end = tl.minimum(begin + chunk, length)
    return row, begin, end


@triton.jit
def prefetch(pointer, stride, rows, PREFETCH: tl.constexpr):
    """Ask for `rows` rows (at most 32, one lane a row; none if it is 0 or less) to be brought near, without waiting.

    NVIDIA only: elsewhere, and under the interpreter, PREFETCH is False. It brings them to the L2 cache (measured: L1
    hits stay where they were). A load whose value is dropped would not do: the hardware counts outstanding loads in six
    counters, and waiting for any load then waits for the early one too.
    """
    if PREFETCH:
        j = tl.minimum(tl.arange(0, 32), tl.maximum(rows, 1) - 1)
        address = (pointer + j * stride).to(tl.int64, bitcast=True)
        tl.inline_asm_elementwise(
            "prefetch.global.L1 [$1]; mov.u32 $0, 0;", "=r,l", [address], dtype=tl.int32, is_pure=False, pack=1
        )
