"""One token through the selective state space: the whole of decoding, O(1) in time and memory."""

import torch
import torch.nn.functional as F
from torch import Tensor


def selective_state_step(
    state: Tensor,
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
) -> tuple[Tensor, Tensor]:
    """Advance the scan by one token (the recurrence of `kernels.scan.selective_scan`).

    Args:
        state: (batch, d_inner, d_state), float32 (or float64).
        u, delta, z: (batch, d_inner).
        A: (d_inner, d_state). B, C: (batch, d_state). D, delta_bias: (d_inner,).

    Returns:
        y (batch, d_inner) in u's dtype and the next state; `state` itself is left as it was.
    """
    if delta_bias is not None:
        delta = delta + delta_bias
    if delta_softplus:
        delta = F.softplus(delta)
    dtype = state.dtype
    delta = delta.to(dtype)
    decay = torch.exp(delta.unsqueeze(-1) * A)
    state = decay * state + (delta * u).unsqueeze(-1) * B.to(dtype).unsqueeze(-2)
    y = (state * C.to(dtype).unsqueeze(-2)).sum(-1)  # not `@`: autocast would round the state to bfloat16
    if D is not None:
        y = y + D * u
    if z is not None:
        y = y * F.silu(z)
    return y.to(u.dtype), state
