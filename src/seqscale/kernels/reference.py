"""The definitions, as plain as they can be written: one time step after another, in float64.

Everything else in this folder is tested against these functions.
"""

import torch
from torch import Tensor


def selective_scan_reference(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    initial_state: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """The selective state space recurrence (Gu & Dao 2023, arXiv 2312.00752, eq. 2 with ZOH on A).

        h_t = exp(delta_t A) * h_{t-1} + delta_t B_t u_t
        y_t = <C_t, h_t>

    Args:
        u: input, (batch, length, d_inner).
        delta: step sizes, positive, (batch, length, d_inner).
        A: diagonal of the state matrix, negative, (d_inner, d_state).
        B: input vector per token, (batch, length, d_state).
        C: output vector per token, (batch, length, d_state).
        initial_state: (batch, d_inner, d_state); zeros when None.

    Returns:
        y (batch, length, d_inner) and the last state (batch, d_inner, d_state), both float64.
    """
    u, delta, A, B, C = (t.double() for t in (u, delta, A, B, C))
    batch, length, d_inner = u.shape
    h = u.new_zeros(batch, d_inner, A.shape[1]) if initial_state is None else initial_state.double()
    ys = []
    for t in range(length):
        decay = torch.exp(delta[:, t, :, None] * A)
        h = decay * h + (delta[:, t] * u[:, t])[..., None] * B[:, t, None, :]
        ys.append((h * C[:, t, None, :]).sum(-1))
    y = torch.stack(ys, dim=1) if ys else u.new_zeros(batch, 0, d_inner)
    return y, h


def causal_conv1d_reference(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, initial_state: Tensor | None = None
) -> Tensor:
    """Depthwise causal convolution: y_t[d] = bias[d] + sum_k weight[d, k] x_{t-K+1+k}[d].

    Args:
        x: (batch, length, channels).
        weight: (channels, width); the last tap sees the present token.
        bias: (channels,) or None.
        initial_state: the last width - 1 inputs before x, (batch, width - 1, channels); zeros when None.

    Returns:
        (batch, length, channels), float64.
    """
    x, weight = x.double(), weight.double()
    batch, length, channels = x.shape
    width = weight.shape[1]
    past = x.new_zeros(batch, width - 1, channels) if initial_state is None else initial_state.double()
    x = torch.cat([past, x], dim=1)
    out = []
    for t in range(length):
        window = x[:, t : t + width]
        y = torch.einsum("bkc,ck->bc", window, weight)
        out.append(y if bias is None else y + bias.double())
    return torch.stack(out, dim=1) if out else x.new_zeros(batch, 0, channels)


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
