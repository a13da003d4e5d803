"""Partial sums of the gradient kernel, added in a fixed order."""

import triton
import triton.language as tl


@triton.jit
def reduce_kernel(
    part_B, part_C, part_A, part_D, part_bias, dB, dC, dA, dD, dbias,
    blocks, per_block, row_programs, slots, d_inner, d_state, groups,
    BE: tl.constexpr, BS: tl.constexpr, BD: tl.constexpr,
):  # fmt: skip
    """The parameters' sums, one program for BD channels and one state, then those of rows, one for BE elements.

    One launch does both: on small problems a launch costs more than the sums do. The parameters' programs come first,
    each has all chunks to add.
    """
    program = tl.program_id(0)
    parameter_programs = tl.cdiv(d_inner, BD) * d_state
    if program < parameter_programs:
        _parameters(part_A, part_D, part_bias, dA, dD, dbias, program, slots, d_inner, d_state, BS, BD)
    else:
        program -= parameter_programs
        group = (program // row_programs).to(tl.int64)
        _rows(part_B, part_C, dB, dC, program % row_programs, group, blocks, per_block, d_state, groups, BE)


@triton.jit
def _rows(part_B, part_C, dB, dC, program, group, blocks, per_block, d_state, groups, BE: tl.constexpr):
    """dB and dC: part (groups, blocks, rows * length, d_state) -> (rows * length, groups, d_state), over `blocks`.

    `per_block` = rows * length * d_state, which may pass 2^31.
    """
    e = program.to(tl.int64) * BE + tl.arange(0, BE)
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
def _parameters(
    part_A, part_D, part_bias, dA, dD, dbias, program, slots, d_inner, d_state, BS: tl.constexpr, BD: tl.constexpr
):  # fmt: skip
    """dA (d_inner, d_state), dD and dbias (d_inner,) from their sums for each chunk slot; one state of BD channels."""
    d = (program // d_state) * BD + tl.arange(0, BD)
    n = program % d_state
    dmask = d < d_inner
    s = tl.arange(0, BS).to(tl.int64)
    acc = tl.zeros([BS, BD], tl.float32)
    for begin in range(0, slots, BS):
        here = (s + begin < slots)[:, None] & dmask[None, :]
        acc += tl.load(part_A + ((s + begin)[:, None] * d_state + n) * d_inner + d[None, :], mask=here, other=0.0)
    tl.store(dA + d * d_state + n, tl.sum(acc, axis=0), mask=dmask)
    if n == 0:
        if dD is not None:
            _one_vector(part_D, dD, s, d, dmask, slots, d_inner, BS, BD)
        if dbias is not None:
            _one_vector(part_bias, dbias, s, d, dmask, slots, d_inner, BS, BD)


@triton.jit
def _one_vector(part, total, s, d, dmask, slots, d_inner, BS: tl.constexpr, BD: tl.constexpr):
    acc = tl.zeros([BS, BD], tl.float32)
    for begin in range(0, slots, BS):
        here = (s + begin < slots)[:, None] & dmask[None, :]
        acc += tl.load(part + (s + begin)[:, None] * d_inner + d[None, :], mask=here, other=0.0)
    tl.store(total + d, tl.sum(acc, axis=0), mask=dmask)
