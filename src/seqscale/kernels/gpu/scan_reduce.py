"""Partial sums of the gradient kernel, added in a fixed order."""

import triton
import triton.language as tl


@triton.jit
def reduce_rows_kernel(
    part_B, part_C, dB, dC, blocks, per_block, d_state, groups, BE: tl.constexpr
):  # fmt: skip
    """dB and dC: part (groups, blocks, rows * length, d_state) -> (rows * length, groups, d_state), over `blocks`.

    `per_block` = rows * length * d_state, which may pass 2^31.
    """
    group = tl.program_id(1).to(tl.int64)
    e = tl.program_id(0).to(tl.int64) * BE + tl.arange(0, BE)
    emask = e < per_block
    sum_B = tl.zeros([BE], tl.float32)
    sum_C = tl.zeros([BE], tl.float32)
    at = group * blocks * per_block + e
    for _ in range(blocks):
        sum_B += tl.load(part_B + at, mask=emask, other=0.0)
        sum_C += tl.load(part_C + at, mask=emask, other=0.0)
        at += per_block
    token = e // d_state
    to = (token * groups + group) * d_state + (e - token * d_state)
    tl.store(dB + to, sum_B.to(dB.dtype.element_ty), mask=emask)
    tl.store(dC + to, sum_C.to(dC.dtype.element_ty), mask=emask)


@triton.jit
def reduce_parameters_kernel(
    part_A, part_D, part_bias, dA, dD, dbias, slots, d_inner, d_state, BS: tl.constexpr, BD: tl.constexpr
):  # fmt: skip
    """dA (d_inner, d_state), dD and dbias (d_inner,) from their sums for each chunk slot."""
    d = tl.program_id(0) * BD + tl.arange(0, BD)
    n = tl.program_id(1)
    dmask = d < d_inner
    s = tl.arange(0, BS).to(tl.int64)
    acc = tl.zeros([BS, BD], tl.float32)
    for begin in range(0, slots, BS):
        here = (s + begin < slots)[:, None] & dmask[None, :]
        acc += tl.load(part_A + ((s + begin)[:, None] * d_state + n) * d_inner + d[None, :], mask=here, other=0.0)
    tl.store(dA + d * d_state + n, tl.sum(acc, axis=0), mask=dmask)
    if n == 0:
        if dD is not None:
            acc = tl.zeros([BS, BD], tl.float32)
            for begin in range(0, slots, BS):
                here = (s + begin < slots)[:, None] & dmask[None, :]
                acc += tl.load(part_D + (s + begin)[:, None] * d_inner + d[None, :], mask=here, other=0.0)
            tl.store(dD + d, tl.sum(acc, axis=0), mask=dmask)
        if dbias is not None:
            acc = tl.zeros([BS, BD], tl.float32)
            for begin in range(0, slots, BS):
                here = (s + begin < slots)[:, None] & dmask[None, :]
                acc += tl.load(part_bias + (s + begin)[:, None] * d_inner + d[None, :], mask=here, other=0.0)
            tl.store(dbias + d, tl.sum(acc, axis=0), mask=dmask)
