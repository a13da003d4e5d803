"""The kernel of the causal convolution's forward; `gpu/convolution.py` says how it works."""

import triton
import triton.language as tl

from seqscale.kernels.gpu.conv_math import (
    history,
    load_parameters,
    locate,
    preactivation,
    restart,
    silu,
    span,
    where_am_i,
)


@triton.jit
def _tile(
    x, weight, bias, initial, y, table, tile, c, length, channels, stride_b, stride_t, steps, tiles,
    WIDTH: tl.constexpr, SILU: tl.constexpr, ROWS: tl.constexpr, GROUP: tl.constexpr,
):  # fmt: skip
    """y of one tile."""
    batch_row = tile // tiles
    token = ((tile - batch_row * tiles) * ROWS + tl.arange(0, ROWS)) * steps
    exists = (c < channels)[None, :]
    taps, offset = load_parameters(weight, bias, c, c < channels, WIDTH)
    sequence, position = locate(table, token, length, batch_row)
    x += batch_row.to(tl.int64) * stride_b + token.to(tl.int64)[:, None] * stride_t + c[None, :]
    y += (batch_row.to(tl.int64) * length + token)[:, None] * channels + c[None, :]
    here = (token < length)[:, None] & exists
    window = history(x, stride_t, initial, sequence, position, c, here, channels, WIDTH)
    for _ in range(0, steps, GROUP):
        loaded = ()
        for g in tl.static_range(GROUP):
            loaded = loaded + (tl.load(x, mask=(token + g < length)[:, None] & exists, other=0.0),)
            x += stride_t
        for g in tl.static_range(GROUP):
            here = (token + g < length)[:, None] & exists
            if table is not None:
                window, position = restart(window, table, token + g, initial, c, here, length, channels, WIDTH)
            seen = window + (loaded[g].to(tl.float32),)
            value = preactivation(seen, taps, offset, WIDTH)
            if SILU:
                value = silu(value)
            tl.store(y, value.to(y.dtype.element_ty), mask=here)
            y += channels
            window = seen[1:]
        token += GROUP


@triton.jit
def _final_states(
    x, initial, final, cu_seqlens, row, c, length, channels, rows, stride_b, stride_t, WIDTH: tl.constexpr
):  # fmt: skip
    """The last WIDTH - 1 inputs of sequences; where a sequence is shorter, its initial state's end comes first."""
    begin, end = span(cu_seqlens, row, row < rows, length)
    exists = (row < rows)[:, None] & (c < channels)[None, :]
    batch_row = row.to(tl.int64)
    if cu_seqlens is not None:
        batch_row = batch_row * 0
    for j in tl.static_range(WIDTH - 1):
        token = end - (WIDTH - 1 - j)
        source = x + (batch_row * stride_b + token.to(tl.int64) * stride_t)[:, None] + c[None, :]
        value = tl.load(source, mask=(token >= begin)[:, None] & exists, other=0.0)
        if initial is not None:
            index = row.to(tl.int64) * (WIDTH - 1) + (token - begin + WIDTH - 1)
            given = initial + index[:, None] * channels + c[None, :]
            earlier = tl.load(given, mask=(token < begin)[:, None] & exists, other=0.0)
            value = tl.where((token < begin)[:, None], earlier.to(value.dtype), value)
        index = row.to(tl.int64) * (WIDTH - 1) + j
        tl.store(final + index[:, None] * channels + c[None, :], value, mask=exists)


@triton.jit(do_not_specialize=["length", "rows", "steps", "tiles"])
def forward_kernel(
    x, weight, bias, initial, y, final, table, cu_seqlens,
    length, channels, rows, stride_b, stride_t, steps, tiles,
    WIDTH: tl.constexpr, SILU: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr, GROUP: tl.constexpr,
):  # fmt: skip
    """y (batch, length, channels) and final (rows, WIDTH - 1, channels).

    x's channels are contiguous, all other tensors whole. table and cu_seqlens are None unless sequences are packed.
    rows: of the states. tiles: of `ROWS * steps` tokens, per batch row.
    """
    tile, c = where_am_i(channels, BLOCK)
    all_tiles = tiles
    if table is None:
        all_tiles = tiles * rows
    if tile < all_tiles:
        _tile(x, weight, bias, initial, y, table, tile, c, length, channels, stride_b, stride_t, steps, tiles,
              WIDTH, SILU, ROWS, GROUP)  # fmt: skip
    else:
        row = (tile - all_tiles) * ROWS + tl.arange(0, ROWS)
        _final_states(x, initial, final, cu_seqlens, row, c, length, channels, rows, stride_b, stride_t, WIDTH)
