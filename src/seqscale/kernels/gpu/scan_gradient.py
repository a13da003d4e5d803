"""The second half of the backward: each chunk from its last token to its first.

    g_t = dy_t C_t + decay_{t+1} g_{t+1}          gradient of h_t; the second term enters the chunk from scan_carry.py
    dC_t = sum_d dy_t h_t                         dB_t = sum_d g_t delta_t u_t
    du_t = delta_t <g_t, B_t> + D dy_t            d delta_t = u_t <g_t, B_t> + <g_t decay_t h_{t-1}, A>
    dA = sum_t g_t decay_t h_{t-1} delta_t        dD = sum_t dy_t u_t

The states h of CK tokens are recomputed from the last one kept and stay in registers. Here a lane holds 4 states of
4 channels (the compiler lays tensors out so because channels are seen to be contiguous, 16 bytes of float32): sums
over the state then take two exchanges between lanes for each channel, sums over channels three for each state. With
one channel a lane, as in the walk, dB and dC would need five exchanges for each of the 2 * 16 sums and dominate.

dB and dC leave as one partial sum for each block of channels, dA, dD and d delta_bias as one for each chunk;
scan_reduce.py adds them in a fixed order: no atomics, the same bits every time.
"""

import triton
import triton.language as tl

from seqscale.kernels.gpu.scan_math import LN2, LOG2E, fetch, per_channel, place, put, stretch


@triton.jit(do_not_specialize=["zero"])
def gradient_kernel(
    u, dy, steps, A, B, C, D, kept, entering, table, du, ddelta, dB, dC, dA, dD, dbias,
    zero, length, d_inner, d_state, chunk, chunks, slots, groups, per_group, blocks_per_group, rows,
    u_b, u_l, dy_b, dy_l, B_b, B_l, B_g, C_b, C_l, C_g,
    NB: tl.constexpr, BD: tl.constexpr, CK: tl.constexpr, SOFTPLUS: tl.constexpr, EXACT: tl.constexpr,
    PACKED: tl.constexpr,
):  # fmt: skip
    """A: (d_state, d_inner). du, ddelta: rows of channels; dB, dC: (blocks, rows, length,
    d_state); dA: (slots, d_state, d_inner); dD, dbias: (slots, d_inner), float32, or None where not wanted."""
    slot, block, group, d, dmask = place(blocks_per_group, groups, per_group, BD)
    n = tl.arange(0, NB)
    nmask = n < d_state
    cell = nmask[:, None] & dmask[None, :]
    state_at = n[:, None] * d_inner + d[None, :]
    row, begin, end = stretch(slot, table, length, chunk, chunks, slots, PACKED)
    slot = slot.to(tl.int64)
    scratch = slot * d_state * d_inner

    A2 = fetch(A + state_at, cell, EXACT).to(tl.float32) * LOG2E
    carry = fetch(entering + scratch + state_at, cell, EXACT)
    skip = per_channel(D, d, dmask, zero)
    sum_A = tl.zeros([NB, BD], tl.float32)
    sum_D = tl.zeros([BD], tl.float32)
    sum_bias = tl.zeros([BD], tl.float32)

    left = (end - begin).to(tl.int32)
    segments = tl.cdiv(left, CK)
    last = begin + (segments - 1) * CK  # the first token of the last segment: from there backwards
    u += row * u_b + last * u_l + zero
    dy += row * dy_b + last * dy_l + zero
    B += row * B_b + last * B_l + group * B_g
    C += row * C_b + last * C_l + group * C_g
    steps += (row * length + last) * d_inner + zero
    du += (row * length + last) * d_inner + zero
    ddelta += (row * length + last) * d_inner + zero
    part = ((block * rows + row) * length + last) * d_state
    dB += part
    dC += part
    kept_row = blocks_per_group * groups * NB * BD
    kept += (slot * (chunk // CK) + segments - 1) * kept_row + block * NB * BD
    kept_at = n[:, None] * BD + tl.arange(0, BD)[None, :]
    unseen = zero.to(tl.float32)
    for s in range(segments):
        inside = left - (segments - 1 - s) * CK
        h = fetch(kept + kept_at, cell, EXACT).to(tl.float32)
        us = ()
        ds = ()
        ys = ()
        Bs = ()
        Cs = ()
        for j in tl.static_range(CK):
            m = dmask & (j < inside)
            nm = nmask & (j < inside)
            us = us + (fetch(u + j * u_l + d, m, EXACT),)
            ds = ds + (fetch(steps + j * d_inner + d, m, EXACT),)
            ys = ys + (fetch(dy + j * dy_l + d, m, EXACT),)
            Bs = Bs + (fetch(B + j * B_l + n, nm, EXACT),)
            Cs = Cs + (fetch(C + j * C_l + n, nm, EXACT),)
        hs = ()
        for j in tl.static_range(CK):
            hs = hs + (h,)
            decay = tl.exp2(ds[j][None, :] * A2)
            h = decay * h + (ds[j] * us[j].to(tl.float32))[None, :] * Bs[j].to(tl.float32)[:, None]
        for j in tl.static_range(CK - 1, -1, -1):
            here = j < inside
            m = dmask & here
            nm = nmask & here
            step = ds[j]
            x = us[j].to(tl.float32)
            y = ys[j].to(tl.float32)
            g = y[None, :] * Cs[j].to(tl.float32)[:, None] + carry
            put(dC + j * d_state + n, tl.sum(y[None, :] * h, axis=1), nm, EXACT)
            put(dB + j * d_state + n, tl.sum((step * x)[None, :] * g, axis=1), nm, EXACT)
            along = tl.sum(g * Bs[j].to(tl.float32)[:, None], axis=0)
            h = hs[j]
            # `step + 0`, with a 0 the compiler cannot see: it would keep the first exponential, and spill it
            carry = g * tl.exp2((step + unseen)[None, :] * A2)
            q = carry * h
            sum_A += q * step[None, :]
            grad = tl.sum(q * A2, axis=0) * LN2 + along * x
            if SOFTPLUS:
                grad = grad * (1.0 - tl.exp2(-step * LOG2E))  # softplus' in terms of its value
            put(du + j * d_inner + d, along * step + skip * y, m, EXACT)
            put(ddelta + j * d_inner + d, grad, m, EXACT)
            if dD is not None:
                sum_D += y * x
            if dbias is not None:
                if EXACT:
                    sum_bias += grad
                else:
                    sum_bias += tl.where(here, grad, 0.0)  # without softplus it is not 0 beyond the last token
        u -= CK * u_l
        dy -= CK * dy_l
        B -= CK * B_l
        C -= CK * C_l
        steps -= CK * d_inner
        du -= CK * d_inner
        ddelta -= CK * d_inner
        dB -= CK * d_state
        dC -= CK * d_state
        kept -= kept_row
    put(dA + scratch + state_at, sum_A, cell, EXACT)
    if dD is not None:
        put(dD + slot * d_inner + zero + d, sum_D, dmask, EXACT)
    if dbias is not None:
        put(dbias + slot * d_inner + zero + d, sum_bias, dmask, EXACT)
