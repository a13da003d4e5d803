"""One token, Triton: the scan's step and the convolution's, each in one launch, the state changed in place.

Both read and write their state once and allocate nothing but the output (and not that, given `out`), never wait for
the device and read no value on the host: fit for CUDA graphs.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from seqscale.kernels.gpu.cases import Case, aligned
from seqscale.kernels.gpu.conv_math import exp2, load_parameters, preactivation, silu
from seqscale.kernels.gpu.launch import on_device_of
from seqscale.kernels.gpu.scan_math import softplus

LOG2E = tl.constexpr(1.4426950408889634)

_WARPS = 4
_ELEMENTS = 512  # of the state, a program: 16 bytes a lane
_CHANNELS = 32 * _WARPS  # of the convolution: one a lane, so that the lane that reads a place of the state writes it


@triton.jit(do_not_specialize=["batch"])
def scan_step_kernel(
    state, u, delta, A, B, C, D, z, bias, out, indices,
    batch, channels, dim, d_state, per_group,
    state_b, state_h, state_d, state_n, u_b, u_h, u_d, delta_b, delta_h, delta_d, z_b, z_h, z_d,
    A_h, A_d, A_n, B_b, B_g, C_b, C_g, D_h, D_d, bias_h, bias_d,
    SOFTPLUS: tl.constexpr, HEADS: tl.constexpr, CHANNELS: tl.constexpr, STATES: tl.constexpr,
):  # fmt: skip
    """Channel i is element i % dim of head i // dim; out (batch, channels) is contiguous, and rows of B and C are."""
    b = tl.program_id(0).to(tl.int64)
    i = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    n = tl.arange(0, STATES)
    exists = i < channels
    h = tl.zeros([CHANNELS], tl.int64)
    d = i.to(tl.int64)
    if HEADS:
        h += i // dim
        d -= h * dim
    row = b
    if indices is not None:
        row = tl.load(indices + b).to(tl.int64)
    cell = exists[:, None] & (n < d_state)[None, :] & (row >= 0)

    step = tl.load(delta + b * delta_b + h * delta_h + d * delta_d, mask=exists, other=0.0).to(tl.float32)
    if bias is not None:
        step += tl.load(bias + h * bias_h + d * bias_d, mask=exists, other=0.0).to(tl.float32)
    if SOFTPLUS:
        step = softplus(step)
    x = tl.load(u + b * u_b + h * u_h + d * u_d, mask=exists, other=0.0).to(tl.float32)
    group = (i // per_group).to(tl.int64)[:, None]
    Bs = tl.load(B + b * B_b + group * B_g + n[None, :], mask=cell, other=0.0).to(tl.float32)
    Cs = tl.load(C + b * C_b + group * C_g + n[None, :], mask=cell, other=0.0).to(tl.float32)
    at = (h * A_h + d * A_d)[:, None] + n[None, :] * A_n
    decay = exp2(tl.load(A + at, mask=cell, other=0.0).to(tl.float32) * LOG2E * step[:, None])
    state += row * state_b + (h * state_h + d * state_d)[:, None] + n[None, :] * state_n
    following = decay * tl.load(state, mask=cell, other=0.0).to(tl.float32) + (step * x)[:, None] * Bs
    tl.store(state, following.to(state.dtype.element_ty), mask=cell)
    y = tl.sum(following * Cs, axis=1)
    if D is not None:
        y += tl.load(D + h * D_h + d * D_d, mask=exists, other=0.0).to(tl.float32) * x
    if z is not None:
        y *= silu(tl.load(z + b * z_b + h * z_h + d * z_d, mask=exists, other=0.0).to(tl.float32))
    y = tl.where(row >= 0, y, 0.0)  # padding
    tl.store(out + b * channels + i, y.to(out.dtype.element_ty), mask=exists)


def step_update(
    state: Tensor,
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    z: Tensor | None,
    delta_bias: Tensor | None,
    delta_softplus: bool,
    out: Tensor | None = None,
    indices: Tensor | None = None,
) -> Tensor:
    """Advance `state` by one token, in place, and return y. Arguments as `kernels.step.selective_state_step_`, checked.

    Args:
        B, C: (batch, groups, d_state).
        out: contiguous, shaped like u; takes y.
    """
    heads = u.ndim == 3
    batch, dim, d_state = u.shape[0], u.shape[-1], A.shape[-1]
    channels = dim * u.shape[1] if heads else dim
    if out is None:
        out = torch.empty(u.shape, dtype=u.dtype, device=u.device)
    if out.numel() == 0:
        return out
    B, C = (x if x.stride(2) == 1 or d_state == 1 else x.contiguous() for x in (B, C))
    states = triton.next_power_of_2(d_state)
    block = max(1, _ELEMENTS // states)
    with on_device_of(u):
        scan_step_kernel[(batch, -(-channels // block))](
            state, u, delta, A, B, C, D, z, delta_bias, out, indices,
            batch, channels, dim, d_state, channels // B.shape[1],
            *_by_row(state, heads), *_by_row(u, heads), *_by_row(delta, heads), *_by_row(u if z is None else z, heads),
            *_shared(A, heads), B.stride(0), B.stride(1), C.stride(0), C.stride(1),
            *((0, 0) if D is None else _shared(D, heads)),
            *((0, 0) if delta_bias is None else _shared(delta_bias, heads)),
            SOFTPLUS=delta_softplus, HEADS=heads, CHANNELS=block, STATES=states, num_warps=_WARPS,
        )  # fmt: skip
    return out


def _by_row(x: Tensor, heads: bool) -> tuple[int, ...]:
    """Strides of (batch, heads, ...), 0 for heads that are not there."""
    strides = x.stride()
    return strides if heads else (strides[0], 0, *strides[1:])


def _shared(x: Tensor, heads: bool) -> tuple[int, ...]:
    """Strides of (heads, ...), 0 for heads that are not there."""
    return x.stride() if heads else (0, *x.stride())


@triton.jit(do_not_specialize=["tokens", "length"])
def conv_step_kernel(
    state, x, weight, bias, y, ring, indices,
    channels, tokens, length, state_b, state_k, state_c, x_b, x_t, x_c,
    WIDTH: tl.constexpr, SILU: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """y (batch, tokens, channels), contiguous. `length`: of the state, at least WIDTH - 1. ring: as cache_seqlens."""
    b = tl.program_id(0).to(tl.int64)
    c = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    exists = c < channels
    row = b
    if indices is not None:
        row = tl.load(indices + b).to(tl.int64)
    known = exists & (row >= 0)
    state += row * state_b + c.to(tl.int64) * state_c
    x += b * x_b + c.to(tl.int64) * x_c
    y += b * tokens * channels + c
    taps, offset = load_parameters(weight, bias, c, exists, WIDTH)
    start = length
    if ring is not None:
        start = tl.load(ring + b).to(tl.int32)
    window = ()
    for back in tl.static_range(1, WIDTH):
        slot = start - back
        if ring is not None:
            slot = (slot % length + length) % length
        earlier = tl.load(state + slot.to(tl.int64) * state_k, mask=known, other=0.0)
        window = (earlier.to(tl.float32)[None, :],) + window
    token = x
    for t in range(tokens):
        now = tl.load(token, mask=exists, other=0.0)
        token += x_t
        seen = window + (now.to(tl.float32)[None, :],)
        value = preactivation(seen, taps, offset, WIDTH)
        if SILU:
            value = silu(value)
        value = tl.where(row >= 0, tl.reshape(value, [BLOCK]), 0.0)  # padding
        tl.store(y, value.to(y.dtype.element_ty), mask=exists)
        y += channels
        window = seen[1:]
        if ring is not None:
            place = ((start + t) % length).to(tl.int64)
            tl.store(state + place * state_k, now.to(state.dtype.element_ty), mask=known)
    if ring is None:
        target = state
        for j in range(length):  # each value moves up by `tokens`; what is read here has not been written yet
            later = tokens + j
            kept = tl.load(state + later.to(tl.int64) * state_k, mask=known & (later < length), other=0.0)
            new = tl.load(x + (later - length).to(tl.int64) * x_t, mask=known & (later >= length), other=0.0)
            value = tl.where(later < length, kept.to(tl.float32), new.to(tl.float32))
            tl.store(target, value.to(state.dtype.element_ty), mask=known)
            target += state_k


def conv_update(
    state: Tensor,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    silu: bool,
    cache_seqlens: Tensor | None = None,
    indices: Tensor | None = None,
) -> Tensor:
    """Convolve tokens and move them into `state`, in place. Arguments as `kernels.step.causal_conv1d_step_`, checked.

    Args:
        x: (batch, tokens, channels). state: (rows, at least width - 1, channels).

    Returns:
        y, shaped like x, contiguous.
    """
    batch, tokens, channels = x.shape
    y = torch.empty((batch, tokens, channels), dtype=x.dtype, device=x.device)
    if y.numel() == 0:
        return y
    weight = weight.contiguous()
    bias = None if bias is None else bias.contiguous()
    with on_device_of(x):
        conv_step_kernel[(batch, -(-channels // _CHANNELS))](
            state, x, weight, bias, y, cache_seqlens, indices,
            channels, tokens, state.shape[1], *state.stride(), *x.stride(),
            WIDTH=weight.shape[1], SILU=silu, BLOCK=_CHANNELS, num_warps=_WARPS,
        )  # fmt: skip
    return y


def compile_cases() -> list[Case]:
    """The kernels with and without heads, rings and indices."""
    cases = []
    pointers = dict.fromkeys(("A", "D", "bias", "state", "weight"), "*fp32")
    pointers |= dict.fromkeys(("u", "delta", "B", "C", "z", "out", "x", "y"), "*bf16")
    pointers |= {"indices": "*i32", "ring": "*i32"}
    for d_state, heads in ((16, False), (128, True), (256, False)):
        constants: dict[str, Any] = {} if heads else {"indices": None}
        constants |= {"SOFTPLUS": True, "HEADS": heads, "CHANNELS": max(1, _ELEMENTS // d_state), "STATES": d_state}
        types = aligned(scan_step_kernel, pointers, constants, ("batch", "state_n", "u_d", "delta_d", "z_d", "A_n"))
        cases.append(Case(f"scan_step-{d_state}", scan_step_kernel, types, constants, _WARPS, 80))
    for width, ring in ((4, False), (8, True)):
        constants = {} if ring else {"ring": None, "indices": None}
        constants |= {"WIDTH": width, "SILU": True, "BLOCK": _CHANNELS}
        types = aligned(conv_step_kernel, pointers, constants, ("tokens", "length", "state_c", "x_c"))
        cases.append(Case(f"conv_step-{width}", conv_step_kernel, types, constants, _WARPS, 64))
    return cases
