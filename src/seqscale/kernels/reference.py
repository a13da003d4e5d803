"""The definitions, as plain as they can be written: one time step after another, in float64.

Everything else in this folder is tested against these functions. Autograd differentiates them, as often as wanted.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor


def selective_scan_reference(
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
    cu_seqlens: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """The selective state space recurrence (Gu & Dao 2023, arXiv 2312.00752, algorithm 2, ZOH on A, Euler on B).

        delta_t = softplus(delta_t + delta_bias)                 (each part where given)
        h_t = exp(delta_t A) * h_{t-1} + delta_t B_t u_t
        y_t = (<C_t, h_t> + D u_t) * silu(z_t)

    Args:
        u, delta, z: input, step sizes, gate, (batch, length, d_inner).
        A: diagonal of the state matrix, negative, (d_inner, d_state).
        B, C: input and output vector per token, (batch, length, d_state), or (batch, length, groups, d_state), where
            channel d belongs to group d // (d_inner // groups).
        D, delta_bias: (d_inner,).
        initial_state: (batch, d_inner, d_state); zeros when None.
        cu_seqlens: packed sequences (`kernels.packing`): batch is 1, and states have one row per sequence.

    Returns:
        y (batch, length, d_inner) and the last state (batch or sequences, d_inner, d_state), both float64.
    """
    u, delta, A, B, C = (t.double() for t in (u, delta, A, B, C))
    if delta_bias is not None:
        delta = delta + delta_bias.double()
    if delta_softplus:
        delta = F.softplus(delta, threshold=40)  # at PyTorch's own threshold, 20, the jump shows in float64
    B, C = (_per_channel(t, u.shape[2]) for t in (B, C))
    rows = u.shape[0] if cu_seqlens is None else cu_seqlens.shape[0] - 1
    start = u.new_zeros(rows, *A.shape) if initial_state is None else initial_state.double()

    if cu_seqlens is None:
        y, last = _recurrence(u, delta, A, B, C, start)
    else:
        ends = cu_seqlens.tolist()
        results = [
            _recurrence(u[:, i:j], delta[:, i:j], A, B[:, i:j], C[:, i:j], start[s : s + 1])
            for s, (i, j) in enumerate(pairwise(ends))
        ]
        y, last = torch.cat([y for y, _ in results], dim=1), torch.cat([last for _, last in results])

    if D is not None:
        y = y + D.double() * u
    if z is not None:
        y = y * F.silu(z.double())
    return y, last


def _per_channel(x: Tensor, d_inner: int) -> Tensor:
    """B or C for every channel: (batch, length, [groups,] d_state) -> (batch, length, d_inner or 1, d_state)."""
    if x.ndim == 3:
        return x.unsqueeze(2)
    return x.repeat_interleave(d_inner // x.shape[2], dim=2)


def _recurrence(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    """(y, last h) of one sequence, or of a batch of them."""
    ys = []
    # unbind, not x[:, t]: the backward of an index writes zeros for the whole sequence, each time
    for u_t, delta_t, B_t, C_t in zip(*(x.unbind(1) for x in (u, delta, B, C)), strict=True):
        h = torch.exp(delta_t[..., None] * A) * h + (delta_t * u_t)[..., None] * B_t
        ys.append((h * C_t).sum(-1))
    return (torch.stack(ys, dim=1) if ys else torch.zeros_like(u)), h


def causal_conv1d_reference(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    initial_state: Tensor | None = None,
    activation: str | None = None,
    cu_seqlens: Tensor | None = None,
) -> Tensor:
    """Depthwise causal convolution: y_t[d] = bias[d] + sum_k weight[d, k] x_{t-K+1+k}[d], then silu where asked for.

    Args:
        x: (batch, length, channels).
        weight: (channels, width); the last tap sees the present token.
        bias: (channels,) or None.
        initial_state: the width - 1 inputs before x, (batch or sequences, width - 1, channels); zeros when None.
        activation: None or "silu".
        cu_seqlens: packed sequences (`kernels.packing`): none sees another's tokens.

    Returns:
        (batch, length, channels), float64.
    """
    x, weight = x.double(), weight.double()
    width = weight.shape[1]
    ends = [0, x.shape[1]] if cu_seqlens is None else cu_seqlens.tolist()
    rows = x.shape[0] if cu_seqlens is None else len(ends) - 1
    past = x.new_zeros(rows, width - 1, x.shape[2]) if initial_state is None else initial_state.double()
    out = [torch.zeros_like(x[:, :0])]
    for s, (begin, end) in enumerate(pairwise(ends)):
        before = past if cu_seqlens is None else past[s : s + 1]
        seen = torch.cat([before, x[:, begin:end]], dim=1)
        if end > begin:
            out.append(torch.einsum("btck,ck->btc", seen.unfold(1, width, 1), weight))  # windows of `width` tokens
    y = torch.cat(out, dim=1)
    if bias is not None:
        y = y + bias.double()
    return F.silu(y) if activation == "silu" else y


def diagonal_ssm_reference(
    x: Tensor, A: Tensor, B: Tensor, C: Tensor, dt: Tensor, initial_state: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """A diagonal, time-invariant state space with conjugate pairs, ZOH (S4D, arXiv 2206.11893, eq. 2).

        h_t = exp(dt A) h_{t-1} + (exp(dt A) - 1) / A * B x_t,     y_t = 2 Re <C, h_t>

    Args:
        x: (batch, length, channels), real.
        A, B, C: (channels, pairs), complex; Re A < 0.
        dt: (channels,), positive.
        initial_state: (batch, channels, pairs), complex; zeros when None.

    Returns:
        y (batch, length, channels) float64 and the last state (batch, channels, pairs) complex128.
    """
    x, dt = x.double(), dt.double()
    A, B, C = (t.to(torch.complex128) for t in (A, B, C))
    decay = torch.exp(dt[:, None] * A)
    gain = (decay - 1) / A * B
    h = (
        x.new_zeros(x.shape[0], *A.shape, dtype=torch.complex128)
        if initial_state is None
        else initial_state.to(torch.complex128)
    )
    ys = []
    for t in range(x.shape[1]):
        h = decay * h + gain * x[:, t, :, None]
        ys.append(2 * (C * h).sum(-1).real)
    y = torch.stack(ys, dim=1) if ys else x.new_zeros(x.shape)
    return y, h


def softplus_inverse(x: Tensor) -> Tensor:
    """The z with softplus(z) = x, for x > 0, without overflow."""
    return x + torch.log(-torch.expm1(-x))


__all__ = [
    "causal_conv1d_reference",
    "diagonal_ssm_reference",
    "selective_scan_reference",
    "softplus_inverse",
]
