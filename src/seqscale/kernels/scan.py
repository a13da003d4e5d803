"""`selective_scan`: one function, several implementations, nothing falls back silently.

The bare recurrence is registered with ``torch.library`` as ``seqscale::selective_scan`` (with fake implementation,
autograd and a FLOP formula), so that ``torch.compile``, ``FlopCounterMode`` and profilers see one operation. The cheap
element-wise parts around it (softplus, D skip, z gate) are ordinary PyTorch here; a fused kernel may take them over.
"""

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from seqscale.kernels.chunked import plan, scan_backward, scan_forward, state_dtype
from seqscale.kernels.reference import selective_scan_reference

Implementation = Literal["auto", "chunked", "reference"]


@torch.library.custom_op("seqscale::selective_scan", mutates_args=())
def _scan(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, initial_state: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    with torch.autocast(u.device.type, enabled=False):  # an outer autocast would round the states to bfloat16
        return scan_forward(u, delta, A, B, C, initial_state)


@_scan.register_fake
def _(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, initial_state: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    batch, length, d_inner = u.shape
    segment = plan(batch, length, d_inner, A.shape[1], u.device.type).segment
    state = initial_state.new_empty(initial_state.shape, dtype=state_dtype(u))
    starts = state.new_empty((-(-length // segment), *initial_state.shape))
    return u.new_empty(u.shape), state, starts


@torch.library.custom_op("seqscale::selective_scan_backward", mutates_args=())
def _scan_backward(
    dy: Tensor, dlast: Tensor, u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, starts: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    with torch.autocast(u.device.type, enabled=False):
        return scan_backward(dy, dlast, u, delta, A, B, C, starts)


@_scan_backward.register_fake
def _(
    dy: Tensor, dlast: Tensor, u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, starts: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    dA = A.new_empty(A.shape, dtype=state_dtype(u))
    return (
        u.new_empty(u.shape),
        delta.new_empty(delta.shape),
        dA,
        B.new_empty(B.shape),
        C.new_empty(C.shape),
        dlast.new_empty(dlast.shape, dtype=dA.dtype),
    )


def _save(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    u, delta, A, B, C, initial_state = inputs
    ctx.save_for_backward(u, delta, A, B, C, output[2])
    ctx.dtypes = (A.dtype, initial_state.dtype)
    ctx.mark_non_differentiable(output[2])


def _differentiate(ctx, dy, dlast, _dstarts):  # type: ignore[no-untyped-def]
    u, delta, A, B, C, starts = ctx.saved_tensors
    if dy is None:
        dy = torch.zeros_like(u)
    if dlast is None:
        dlast = A.new_zeros(u.shape[0], *A.shape, dtype=state_dtype(u))
    du, ddelta, dA, dB, dC, dstart = _scan_backward(dy.contiguous(), dlast, u, delta, A, B, C, starts)
    return du, ddelta, dA.to(ctx.dtypes[0]), dB, dC, dstart.to(ctx.dtypes[1])


_scan.register_autograd(_differentiate, setup_context=_save)


def scan_flops(batch: int, length: int, d_inner: int, d_state: int) -> int:
    """Floating-point operations of one forward scan: 9 per state element and token.

    The count that Gu & Dao's own code uses: exp(delta A) 2, delta B u 2 and B's outer product 1, the recurrence 2,
    the product with C 2.
    """
    return 9 * batch * length * d_inner * d_state


@register_flop_formula(torch.ops.seqscale.selective_scan)
def _scan_formula(u_shape, delta_shape, A_shape, *args, out_shape=None, **kwargs) -> int:  # type: ignore[no-untyped-def]
    batch, length, d_inner = u_shape
    return scan_flops(batch, length, d_inner, A_shape[1])


@register_flop_formula(torch.ops.seqscale.selective_scan_backward)
def _scan_backward_formula(dy, dlast, u_shape, delta, A_shape, *args, out_shape=None, **kwargs) -> int:  # type: ignore[no-untyped-def]
    batch, length, d_inner = u_shape
    return 2 * scan_flops(batch, length, d_inner, A_shape[1])  # the rule for all operations: backward = 2 x forward


def _check(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, initial_state: Tensor | None) -> None:
    if u.ndim != 3 or delta.shape != u.shape:
        raise ValueError(
            f"u and delta must both be (batch, length, d_inner); got {tuple(u.shape)} and {tuple(delta.shape)}"
        )
    batch, length, d_inner = u.shape
    if A.ndim != 2 or A.shape[0] != d_inner:
        raise ValueError(f"A must be (d_inner, d_state) with d_inner = {d_inner}; got {tuple(A.shape)}")
    expected = (batch, length, A.shape[1])
    for name, tensor in (("B", B), ("C", C)):
        if tuple(tensor.shape) != expected:
            raise ValueError(f"{name} must be (batch, length, d_state) = {expected}; got {tuple(tensor.shape)}")
    if initial_state is not None and tuple(initial_state.shape) != (batch, *A.shape):
        raise ValueError(
            f"initial_state must be (batch, d_inner, d_state) = {(batch, *A.shape)}; got {tuple(initial_state.shape)}"
        )


def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
    initial_state: Tensor | None = None,
    return_last_state: bool = False,
    implementation: Implementation = "auto",
) -> Tensor | tuple[Tensor, Tensor]:
    """The selective scan of Mamba (Gu & Dao 2023, arXiv 2312.00752, algorithm 2).

        delta_t = softplus(delta_t + delta_bias)                     (each part where given)
        h_t = exp(delta_t A) h_{t-1} + delta_t B_t u_t
        y_t = (<C_t, h_t> + D u_t) * silu(z_t)

    Args:
        u: input, (batch, length, d_inner), float32, bfloat16 or float16 (state in float32), or float64 (state too).
        delta: step sizes before bias and softplus, (batch, length, d_inner).
        A: (d_inner, d_state), negative for a stable system.
        B, C: (batch, length, d_state).
        D: (d_inner,) skip weight, or None.
        z: (batch, length, d_inner) gate, or None.
        delta_bias: (d_inner,), or None.
        initial_state: (batch, d_inner, d_state), or None for zeros. Has a gradient.
        return_last_state: also return h_length, (batch, d_inner, d_state), in the state's dtype. Has a gradient.
        implementation: "auto" and "chunked" run PyTorch operations (`kernels.chunked`), "reference" the definition in
            float64, token by token.

    Returns:
        y (batch, length, d_inner) in u's dtype; with `return_last_state`, the pair (y, last state).

    Raises:
        ValueError: shapes that do not fit, or an unknown implementation.
    """
    if implementation not in get_args(Implementation):
        raise ValueError(
            f"unknown implementation {implementation!r}; choose from {', '.join(get_args(Implementation))}"
        )
    _check(u, delta, A, B, C, initial_state)
    if delta_bias is not None:
        delta = delta + delta_bias
    if delta_softplus:
        delta = F.softplus(delta)
    if implementation == "reference":
        y, last = selective_scan_reference(u, delta, A, B, C, initial_state)
    else:
        start = u.new_zeros(u.shape[0], *A.shape, dtype=state_dtype(u)) if initial_state is None else initial_state
        y, last, _ = _scan(u, delta, A, B, C, start)
    if D is not None:
        y = y + D * u
    if z is not None:
        y = y * F.silu(z)
    y = y.to(u.dtype)
    return (y, last) if return_last_state else y
