"""The kernels of the causal convolution's backward; `gpu/convolution.py` says how they work.

With g_t the gradient of the value before SiLU,

    dx_s = sum_m weight[WIDTH - 1 - m] g_{s+m},      dweight[k] = sum_t g_t x_{t-WIDTH+1+k},      dbias = sum_t g_t

Time runs forward here too: dx_s is complete WIDTH - 1 tokens later, until then its parts wait in `pending`.
"""

import triton
import triton.language as tl

from seqscale.kernels.gpu.conv_math import (
    history,
    load_parameters,
    locate,
    preactivation,
    restart,
    sigmoid,
    span,
    where_am_i,
)


@triton.jit
def _gradient(window, gradient, taps, offset, SILU: tl.constexpr, WIDTH: tl.constexpr):
    """g_t from the gradient of y_t and the window of inputs."""
    if SILU:
        value = preactivation(window, taps, offset, WIDTH)
        s = sigmoid(value)
        gradient = gradient * (s * (1.0 + value * (1.0 - s)))
    return gradient


@triton.jit
def _spread(pending, gradient, taps, position, PACKED: tl.constexpr, WIDTH: tl.constexpr):
    """g_t's share in the dx of the WIDTH tokens up to t, oldest first, added to the earlier shares."""
    shares = ()
    for k in tl.static_range(WIDTH - 1):
        share = gradient
        if PACKED:  # tokens of the sequence before get nothing
            share = tl.where((position >= WIDTH - 1 - k)[:, None], gradient, 0.0)
        shares = shares + (pending[k] + taps[k] * share,)
    return shares + (taps[WIDTH - 1] * gradient,)


@triton.jit
def _store_dx(
    dx, value, token, first, dfinal, table, cu_seqlens, batch_row, c, length, channels, WIDTH: tl.constexpr
):  # fmt: skip
    """Store the dx of tokens, once complete, the part that comes through the final state added."""
    here = ((token >= first) & (token < length))[:, None] & (c < channels)[None, :]
    if dfinal is not None:
        sequence, _ = locate(table, tl.maximum(token, 0), length, batch_row)
        _, end = span(cu_seqlens, sequence, token < length, length)
        slot = token - end + (WIDTH - 1)
        index = sequence.to(tl.int64) * (WIDTH - 1) + slot
        through = dfinal + index[:, None] * channels + c[None, :]
        value += tl.load(through, mask=(slot >= 0)[:, None] & here, other=0.0).to(tl.float32)
    tl.store(dx, value.to(dx.dtype.element_ty), mask=here)


@triton.jit(do_not_specialize=["length", "steps", "tiles"])
def backward_kernel(
    x, dy, dfinal, weight, bias, initial, dx, sums, table, cu_seqlens,
    length, channels, stride_b, stride_t, steps, tiles,
    WIDTH: tl.constexpr, SILU: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr, GROUP: tl.constexpr,
):  # fmt: skip
    """dx, and sums (tiles of all batch rows, WIDTH + 1, channels): each tile's dweight, then dbias.

    x's channels are contiguous, all other tensors whole; dx in x's dtype, sums in float32. dfinal, the gradient of the
    final states, may be None; table and cu_seqlens are None unless sequences are packed.
    """
    tile, c = where_am_i(channels, BLOCK)
    batch_row = tile // tiles
    first = ((tile - batch_row * tiles) * ROWS + tl.arange(0, ROWS)) * steps
    exists = (c < channels)[None, :]
    taps, offset = load_parameters(weight, bias, c, c < channels, WIDTH)
    sequence, position = locate(table, first, length, batch_row)
    x += batch_row.to(tl.int64) * stride_b + first.to(tl.int64)[:, None] * stride_t + c[None, :]
    at = (batch_row.to(tl.int64) * length + first)[:, None] * channels + c[None, :]
    dy += at
    dx += at - (WIDTH - 1) * channels
    window = history(x, stride_t, initial, sequence, position, c, (first < length)[:, None] & exists, channels, WIDTH)
    pending = ()
    dweight = (tl.zeros([ROWS, BLOCK], tl.float32),)
    for _ in tl.static_range(WIDTH - 1):
        pending = pending + (tl.zeros([ROWS, BLOCK], tl.float32),)
        dweight = dweight + (tl.zeros([ROWS, BLOCK], tl.float32),)
    dbias = tl.zeros([ROWS, BLOCK], tl.float32)
    token = first
    for _ in range(0, steps, GROUP):
        xs = ()
        dys = ()
        for g in tl.static_range(GROUP):
            here = (token + g < length)[:, None] & exists
            xs = xs + (tl.load(x, mask=here, other=0.0),)
            dys = dys + (tl.load(dy, mask=here, other=0.0),)
            x += stride_t
            dy += channels
        for g in tl.static_range(GROUP):
            here = (token + g < length)[:, None] & exists
            if table is not None:
                window, position = restart(window, table, token + g, initial, c, here, length, channels, WIDTH)
            seen = window + (xs[g].to(tl.float32),)
            gradient = _gradient(seen, dys[g].to(tl.float32), taps, offset, SILU, WIDTH)
            dbias += gradient
            added = ()
            for k in tl.static_range(WIDTH):
                added = added + (dweight[k] + gradient * seen[k],)
            dweight = added
            shares = _spread(pending, gradient, taps, position, table is not None, WIDTH)
            done = token + (g - (WIDTH - 1))
            _store_dx(dx, shares[0], done, first, dfinal, table, cu_seqlens, batch_row, c, length, channels, WIDTH)
            dx += channels
            pending = shares[1:]
            window = seen[1:]
        token += GROUP
    for g in tl.static_range(WIDTH - 1):  # into the next stretch, for the dx of this one's last tokens alone
        here = (token + g < length)[:, None] & exists
        if table is not None:
            window, position = restart(window, table, token + g, initial, c, here, length, channels, WIDTH)
        seen = window + (tl.load(x, mask=here, other=0.0).to(tl.float32),)
        gradient = tl.load(dy, mask=here, other=0.0).to(tl.float32)
        gradient = _gradient(seen, gradient, taps, offset, SILU, WIDTH)
        shares = _spread(pending, gradient, taps, position, table is not None, WIDTH)
        done = token + (g - (WIDTH - 1))
        _store_dx(dx, shares[0], done, first, dfinal, table, cu_seqlens, batch_row, c, length, channels, WIDTH)
        x += stride_t
        dy += channels
        dx += channels
        pending = shares[1:]
        window = seen[1:]
    sums += tile.to(tl.int64) * (WIDTH + 1) * channels
    for k in tl.static_range(WIDTH):
        tl.store(sums + k * channels + c, tl.sum(dweight[k], axis=0), mask=c < channels)
    tl.store(sums + WIDTH * channels + c, tl.sum(dbias, axis=0), mask=c < channels)


@triton.jit(do_not_specialize=["length", "rows"])
def initial_kernel(
    x, dy, dfinal, weight, bias, initial, dinitial, cu_seqlens,
    length, channels, rows, stride_b, stride_t,
    WIDTH: tl.constexpr, SILU: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """dinitial (rows, WIDTH - 1, channels), float32: through the first outputs and through the final state.

    A kernel of its own, though its work is small: as a branch of `backward_kernel` it made that compile for seconds.
    """
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    c = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    begin, end = span(cu_seqlens, row, row < rows, length)
    exists = (row < rows)[:, None] & (c < channels)[None, :]
    batch_row = row.to(tl.int64)
    if cu_seqlens is not None:
        batch_row = batch_row * 0
    taps, offset = load_parameters(weight, bias, c, c < channels, WIDTH)
    x += (batch_row * stride_b + begin.to(tl.int64) * stride_t)[:, None] + c[None, :]
    dy += (batch_row * length + begin)[:, None] * channels + c[None, :]
    of_state = (row.to(tl.int64) * (WIDTH - 1))[:, None] * channels + c[None, :]
    window = history(x, stride_t, initial, row, row * 0, c, exists, channels, WIDTH)
    gradients = ()
    for q in tl.static_range(WIDTH - 1):
        here = (begin + q < end)[:, None] & exists
        seen = window + (tl.load(x, mask=here, other=0.0).to(tl.float32),)
        gradient = tl.load(dy, mask=here, other=0.0).to(tl.float32)
        gradients = gradients + (_gradient(seen, gradient, taps, offset, SILU, WIDTH),)
        x += stride_t
        dy += channels
        window = seen[1:]
    for j in tl.static_range(WIDTH - 1):
        total = tl.zeros([ROWS, BLOCK], tl.float32)
        for q in tl.static_range(j + 1):  # token q sees input j of the state through tap j - q
            total += taps[j - q] * gradients[q]
        if dfinal is not None:  # the end of the initial state is part of a short sequence's final state
            slot = j - (end - begin)
            through = dfinal + of_state + slot.to(tl.int64)[:, None] * channels
            total += tl.load(through, mask=(slot >= 0)[:, None] & exists, other=0.0).to(tl.float32)
        tl.store(dinitial + of_state + j * channels, total, mask=exists)


@triton.jit(do_not_specialize=["tiles"])
def sum_kernel(
    sums, dweight, dbias, channels, tiles, WIDTH: tl.constexpr, TILES: tl.constexpr, BLOCK: tl.constexpr
):  # fmt: skip
    """dweight (channels, WIDTH) and dbias (channels,) or None, added up over the tiles, always in the same order."""
    column = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    exists = column < (WIDTH + 1) * channels
    lane = tl.arange(0, TILES)
    total = tl.zeros([TILES, BLOCK], tl.float32)
    for tile in range(0, tiles, TILES):
        at = (tile + lane).to(tl.int64)[:, None] * ((WIDTH + 1) * channels) + column[None, :]
        total += tl.load(sums + at, mask=(tile + lane < tiles)[:, None] & exists[None, :], other=0.0)
    result = tl.sum(total, axis=0)
    k = column // channels
    c = column - k * channels
    tl.store(dweight + c * WIDTH + k, result, mask=exists & (k < WIDTH))
    if dbias is not None:
        tl.store(dbias + c, result, mask=exists & (k == WIDTH))
