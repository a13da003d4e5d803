"""The forward walk: one program takes BD channels through a stretch of time, the state in registers.

Channels lie across the lanes of a warp and the state index along each lane's registers, so that the sum over the state
needs no exchange between lanes and a row of B or C is one vector load that all lanes share. The compiler lays a tensor
out by what it knows of addresses; `zero`, which is 0 but passed at run time, hides that rows of channels are aligned,
or it would give each lane several neighbouring channels and spread the state over the lanes.

Three uses of one kernel:

    WHOLE        a whole sequence from its initial state: y, the last state, and (SAVE) the state at each chunk's start
    WRITE_Y      one chunk, from the state that scan_carry.py put at its start: y
    neither      one chunk from zero: the state at its end and the sum of delta, its summary for scan_carry.py
"""

import triton
import triton.language as tl

from seqscale.kernels.gpu.scan_math import LOG2E, fetch, per_channel, place, prefetch, put, sigmoid, step_size, stretch


@triton.jit(do_not_specialize=["zero"])
def walk_kernel(
    u, delta, z, A, B, C, D, bias, out, initial, states, ends, sums, last, table,
    zero, length, d_inner, d_state, chunk, chunks, slots, groups, per_group, blocks_per_group,
    u_b, u_l, dt_b, dt_l, z_b, z_l, B_b, B_l, B_g, C_b, C_l, C_g,
    NB: tl.constexpr, BD: tl.constexpr, T: tl.constexpr, SOFTPLUS: tl.constexpr, EXACT: tl.constexpr,
    WHOLE: tl.constexpr, WRITE_Y: tl.constexpr, SAVE: tl.constexpr, PACKED: tl.constexpr,
    PREFETCH: tl.constexpr,
):  # fmt: skip
    """u, delta, z, out: rows of channels. A: (d_state, d_inner). initial, last: (sequences, d_state, d_inner);
    states, ends: (slots, d_state, d_inner) and sums: (slots, d_inner), float32. T rows are loaded together."""
    slot, _, group, d, dmask = place(blocks_per_group, groups, per_group, BD)
    n = tl.arange(0, NB)
    nmask = n < d_state
    cell = nmask[:, None] & dmask[None, :]
    state_at = n[:, None] * d_inner + d[None, :]
    if WHOLE:
        row = slot.to(tl.int64)
        begin = row * 0
        end = begin + length
    else:
        if not WRITE_Y and not PACKED:
            slot += slot // (chunks - 1)  # nobody needs the summary of a sequence's last chunk: it has no program
        row, begin, end = stretch(slot, table, length, chunk, chunks, slots, PACKED)
    scratch = slot.to(tl.int64) * d_state * d_inner + zero

    A2 = fetch(A + zero + state_at, cell, EXACT).to(tl.float32) * LOG2E
    skip = per_channel(D, d, dmask, zero)
    offset = per_channel(bias, d, dmask, zero)
    h = tl.zeros([NB, BD], tl.float32)
    if WHOLE:
        if initial is not None:
            h = fetch(initial + scratch + state_at, cell, EXACT).to(tl.float32)
    elif WRITE_Y:
        h = fetch(states + scratch + state_at, cell, EXACT)
    total = tl.zeros([BD], tl.float32)

    u += row * u_b + begin * u_l + zero
    delta += row * dt_b + begin * dt_l + zero
    B += row * B_b + begin * B_l + group * B_g
    if z is not None:
        z += row * z_b + begin * z_l + zero
    if C is not None:
        C += row * C_b + begin * C_l + group * C_g
    if WRITE_Y:
        out += (row * length + begin) * d_inner + zero
    left = (end - begin).to(tl.int32)
    first = tl.min(d, axis=0)
    for at in range(0, left, T):
        if SAVE:
            if at % chunk == 0:
                kept = (row * chunks + at // chunk) * d_state * d_inner + zero
                put(states + kept + state_at, h, cell, EXACT)
        ahead = tl.minimum(left - at - T, T)
        if ahead > 0:
            prefetch(u + T * u_l + first, u_l, ahead, PREFETCH)
            prefetch(delta + T * dt_l + first, dt_l, ahead, PREFETCH)
            prefetch(B + T * B_l, B_l, ahead, PREFETCH)
            if z is not None:
                prefetch(z + T * z_l + first, z_l, ahead, PREFETCH)
            if C is not None:
                prefetch(C + T * C_l, C_l, ahead, PREFETCH)
        us = ()
        ds = ()
        zs = ()
        Bs = ()
        Cs = ()
        for j in tl.static_range(T):
            here = at + j < left
            us = us + (fetch(u + j * u_l + d, dmask & here, EXACT),)
            ds = ds + (fetch(delta + j * dt_l + d, dmask & here, EXACT),)
            Bs = Bs + (fetch(B + j * B_l + n, nmask & here, EXACT),)
            if z is not None:
                zs = zs + (fetch(z + j * z_l + d, dmask & here, EXACT),)
            if C is not None:
                Cs = Cs + (fetch(C + j * C_l + n, nmask & here, EXACT),)
        for j in tl.static_range(T):
            here = at + j < left
            x = us[j].to(tl.float32)
            step = step_size(ds[j], offset, SOFTPLUS)
            if not EXACT:
                step = tl.where(here, step, 0.0)
            h = tl.exp2(step[None, :] * A2) * h + (step * x)[None, :] * Bs[j].to(tl.float32)[:, None]
            if WRITE_Y:
                y = tl.sum(h * Cs[j].to(tl.float32)[:, None], axis=0) + skip * x
                if z is not None:
                    gate = zs[j].to(tl.float32)
                    y = y * (gate * sigmoid(gate))
                put(out + j * d_inner + d, y, dmask & here, EXACT)
            else:
                total += step
        u += T * u_l
        delta += T * dt_l
        B += T * B_l
        if z is not None:
            z += T * z_l
        if C is not None:
            C += T * C_l
        if WRITE_Y:
            out += T * d_inner
    if WHOLE:
        put(last + scratch + state_at, h, cell, EXACT)
    elif WRITE_Y:
        if not PACKED:
            if end == length:
                put(last + row * d_state * d_inner + zero + state_at, h, cell, EXACT)
    else:
        put(ends + scratch + state_at, h, cell, EXACT)
        put(sums + slot.to(tl.int64) * d_inner + zero + d, total, dmask, EXACT)
