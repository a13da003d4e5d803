"""The first half of the backward: walk each chunk forward again and prepare what the gradients need.

With y known again, the gate's gradient is done here, and the elementwise work with it: the gradient kernel then finds
delta as used, and dy times the gate, ready. The state is written out every CK tokens, so that the gradient kernel can
hold the states between in registers.

The gradient with respect to the state that enters the chunk needs no walk backwards: with P_t the product of decays
from the chunk's start to t, it is sum_t P_t C_t dy_t, summed as time goes on; scan_carry.py carries it over chunks.
"""

import triton
import triton.language as tl

from seqscale.kernels.gpu.scan_math import LOG2E, fetch, per_channel, place, prefetch, put, sigmoid, step_size, stretch


@triton.jit(do_not_specialize=["zero"])
def recompute_kernel(
    u, delta, z, dout, A, B, C, D, bias, states, table, steps, gated, dz, kept, own, sums,
    zero, length, d_inner, d_state, chunk, chunks, slots, groups, per_group, blocks_per_group,
    u_b, u_l, dt_b, dt_l, z_b, z_l, dy_b, dy_l, B_b, B_l, B_g, C_b, C_l, C_g,
    NB: tl.constexpr, BD: tl.constexpr, T: tl.constexpr, CK: tl.constexpr, SOFTPLUS: tl.constexpr,
    EXACT: tl.constexpr, PACKED: tl.constexpr, KB: tl.constexpr, PREFETCH: tl.constexpr,
):  # fmt: skip
    """A: (d_state, d_inner). states, own: (slots, d_state, d_inner); kept: (slots * chunk / CK, d_state, d_inner);
    sums: (slots, d_inner); steps: (batch, length, d_inner), all float32; gated, dz: rows of channels."""
    slot, _, group, d, dmask = place(blocks_per_group, groups, per_group, BD)
    n = tl.arange(0, NB)
    nmask = n < d_state
    cell = nmask[:, None] & dmask[None, :]
    state_at = n[:, None] * d_inner + d[None, :]
    row, begin, end = stretch(slot, table, length, chunk, chunks, slots, PACKED)
    slot = slot.to(tl.int64)
    scratch = slot * d_state * d_inner + zero

    A2 = fetch(A + zero + state_at, cell, EXACT).to(tl.float32) * LOG2E
    skip = per_channel(D, d, dmask, zero)
    offset = per_channel(bias, d, dmask, zero)
    h = fetch(states + scratch + state_at, cell, EXACT)
    reach = tl.full([NB, BD], 1.0, tl.float32)
    entering = tl.zeros([NB, BD], tl.float32)
    total = tl.zeros([BD], tl.float32)

    u += row * u_b + begin * u_l + zero
    delta += row * dt_b + begin * dt_l + zero
    dout += row * dy_b + begin * dy_l + zero
    B += row * B_b + begin * B_l + group * B_g
    C += row * C_b + begin * C_l + group * C_g
    steps += (row * length + begin) * d_inner + zero
    if z is not None:
        z += row * z_b + begin * z_l + zero
        gated += (row * length + begin) * d_inner + zero
        dz += (row * length + begin) * d_inner + zero
    in_group = d - group * per_group
    keeps = tl.cdiv(per_group, KB)
    kept_row = groups * keeps * NB * KB
    kept += slot * (chunk // CK) * kept_row + (group * keeps + tl.min(in_group, axis=0) // KB) * NB * KB + zero
    lane = tl.arange(0, BD)
    kept_at = n[:, None] * KB + ((lane // KB) * (NB * KB) + lane % KB)[None, :]
    left = (end - begin).to(tl.int32)
    first = tl.min(d, axis=0)
    for at in range(0, left, T):
        # never false where T = CK; yet the branch keeps the compiler from mixing the stores into the rest (12 % slower)
        if at % CK == 0:
            put(kept + kept_at, h, cell, EXACT)
            kept += kept_row
        ahead = tl.minimum(left - at - T, T)
        if ahead > 0:
            prefetch(u + T * u_l + first, u_l, ahead, PREFETCH)
            prefetch(delta + T * dt_l + first, dt_l, ahead, PREFETCH)
            prefetch(dout + T * dy_l + first, dy_l, ahead, PREFETCH)
            prefetch(B + T * B_l, B_l, ahead, PREFETCH)
            prefetch(C + T * C_l, C_l, ahead, PREFETCH)
            if z is not None:
                prefetch(z + T * z_l + first, z_l, ahead, PREFETCH)
        us = ()
        ds = ()
        zs = ()
        gs = ()
        Bs = ()
        Cs = ()
        for j in tl.static_range(T):
            m = dmask & (at + j < left)
            nm = nmask & (at + j < left)
            us = us + (fetch(u + j * u_l + d, m, EXACT),)
            ds = ds + (fetch(delta + j * dt_l + d, m, EXACT),)
            gs = gs + (fetch(dout + j * dy_l + d, m, EXACT),)
            Bs = Bs + (fetch(B + j * B_l + n, nm, EXACT),)
            Cs = Cs + (fetch(C + j * C_l + n, nm, EXACT),)
            if z is not None:
                zs = zs + (fetch(z + j * z_l + d, m, EXACT),)
        for j in tl.static_range(T):
            here = at + j < left
            m = dmask & here
            x = us[j].to(tl.float32)
            step = step_size(ds[j], offset, SOFTPLUS)
            if not EXACT:
                step = tl.where(here, step, 0.0)
            decay = tl.exp2(step[None, :] * A2)
            h = decay * h + (step * x)[None, :] * Bs[j].to(tl.float32)[:, None]
            c = Cs[j].to(tl.float32)[:, None]
            dy = gs[j].to(tl.float32)
            if z is not None:
                y = tl.sum(h * c, axis=0) + skip * x
                gate = zs[j].to(tl.float32)
                s = sigmoid(gate)
                put(dz + j * d_inner + d, dy * y * s * (1.0 + gate * (1.0 - s)), m, EXACT)
                dy = dy * gate * s
                put(gated + j * d_inner + d, dy, m, EXACT)
            put(steps + j * d_inner + d, step, m, EXACT)
            reach *= decay
            entering += reach * (dy[None, :] * c)
            total += step
        u += T * u_l
        delta += T * dt_l
        dout += T * dy_l
        B += T * B_l
        C += T * C_l
        steps += T * d_inner
        if z is not None:
            z += T * z_l
            gated += T * d_inner
            dz += T * d_inner
    put(own + scratch + state_at, entering, cell, EXACT)
    put(sums + slot * d_inner + zero + d, total, dmask, EXACT)
