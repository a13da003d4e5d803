"""The functions of `mamba_ssm` 2.3 and `causal_conv1d` 1.7 by their own names, with their signatures and results.

    from mamba_ssm.ops.selective_scan_interface import selective_scan_fn, mamba_inner_fn
    from mamba_ssm.ops.triton.selective_state_update import selective_state_update
    from causal_conv1d import causal_conv1d_fn, causal_conv1d_update

become `from seqscale.kernels import ...`. Their layout is (batch, dim, length), and so are shapes here; results are
transposed views of this package's (batch, length, dim), which is how the next layer of a Mamba block wants them.
Beyond the originals: any device, float64, any strides, gradients for the last state and for every weight.
Not here: complex A (Mamba's own models have none); it raises.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from seqscale.kernels.conv_step import causal_conv1d_step_
from seqscale.kernels.convolution import causal_conv1d
from seqscale.kernels.scan import selective_scan
from seqscale.kernels.step import selective_state_step_

__all__ = [
    "causal_conv1d_fn",
    "causal_conv1d_update",
    "mamba_inner_fn",
    "selective_scan_fn",
    "selective_state_update",
]


# --- mamba_ssm --------------------------------------------------------------------------------------------------------


def selective_scan_fn(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
    return_last_state: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """`mamba_ssm.ops.selective_scan_interface.selective_scan_fn`; the scan is `kernels.selective_scan`.

    Args:
        u, delta, z: (batch, dim, length).
        A: (dim, dstate), real.
        B, C: (dim, dstate), the same for every token, or (batch, dstate, length), or (batch, groups, dstate, length).
            A constant one is treated as one group per channel: its gradient is written out per token on the way.
        D, delta_bias: (dim,).

    Returns:
        out (batch, dim, length) in u's dtype; with `return_last_state`, (out, last state (batch, dim, dstate)).

    Raises:
        ValueError: complex A, or shapes that do not fit.
    """
    B, C = _projections(u, A, B, C)
    y, last = selective_scan(
        u.transpose(1, 2),
        delta.transpose(1, 2),
        A,
        B,
        C,
        D,
        None if z is None else z.transpose(1, 2),
        delta_bias,
        delta_softplus,
        return_last_state=True,
    )
    return (y.transpose(1, 2), last) if return_last_state else y.transpose(1, 2)


def _projections(u: Tensor, A: Tensor, B: Tensor, C: Tensor) -> tuple[Tensor, Tensor]:
    """B and C of any of the originals' shapes as (batch, length, groups, dstate), the groups of both alike."""
    if A.is_complex() or B.is_complex() or C.is_complex():
        raise ValueError(
            "A, B and C must be real: complex state spaces are not computed here; for a time-invariant one see "
            "seqscale.kernels.diagonal_ssm_kernel"
        )
    batch, dim, length = u.shape
    found = []
    for name, x in (("B", B), ("C", C)):
        if x.ndim == 2 and x.shape == A.shape:
            found.append(x.expand(batch, length, *A.shape))
        elif x.ndim == 3 and x.shape == (batch, A.shape[1], length):
            found.append(x.transpose(1, 2).unsqueeze(2))
        elif x.ndim == 4 and x.shape == (batch, x.shape[1], A.shape[1], length) and dim % max(1, x.shape[1]) == 0:
            found.append(x.permute(0, 3, 1, 2))
        else:
            raise ValueError(
                f"{name} must be (dim, dstate) = {tuple(A.shape)}, (batch, dstate, length) = "
                f"{(batch, A.shape[1], length)} or (batch, groups, dstate, length) with dim = {dim} a multiple of "
                f"groups; got {tuple(x.shape)}"
            )
    groups = math.lcm(*(x.shape[2] for x in found))
    return _in_groups(found[0], groups), _in_groups(found[1], groups)


def _in_groups(x: Tensor, groups: int) -> Tensor:
    """(batch, length, fewer groups, dstate) -> (batch, length, groups, dstate), each repeated for its channels."""
    if x.shape[2] == 1:
        return x.expand(-1, -1, groups, -1)
    return x if x.shape[2] == groups else x.repeat_interleave(groups // x.shape[2], dim=2)


def mamba_inner_fn(
    xz: Tensor,
    conv1d_weight: Tensor,
    conv1d_bias: Tensor | None,
    x_proj_weight: Tensor,
    delta_proj_weight: Tensor,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    A: Tensor,
    B: Tensor | None = None,
    C: Tensor | None = None,
    D: Tensor | None = None,
    delta_bias: Tensor | None = None,
    B_proj_bias: Tensor | None = None,
    C_proj_bias: Tensor | None = None,
    delta_softplus: bool = True,
    checkpoint_lvl: int = 1,
    b_rms_weight: Tensor | None = None,
    c_rms_weight: Tensor | None = None,
    dt_rms_weight: Tensor | None = None,
    b_c_dt_rms_eps: float = 1e-6,
) -> Tensor:
    """`mamba_ssm.ops.selective_scan_interface.mamba_inner_fn`: a Mamba block from in_proj's result to out_proj's.

    Made of this package's kernels and PyTorch's matrix products; `checkpoint_lvl` (what the original recomputes to
    save memory) is taken and changes nothing.

    Args:
        xz: (batch, 2 dim, length). conv1d_weight: (dim, 1, width). x_proj_weight: (dt_rank + 2 dstate, dim).
        delta_proj_weight: (dim, dt_rank). out_proj_weight: (d_model, dim). A: (dim, dstate), real.
        B, C: as of `selective_scan_fn`; None (Mamba) to make them from the input.
        B_proj_bias, C_proj_bias: (dstate,), for those that are made.
        b_rms_weight, c_rms_weight, dt_rms_weight: weights of an RMS norm of B, C (dstate,) and delta (dim,), or None.

    Returns:
        (batch, length, d_model).
    """
    rank, d_state = delta_proj_weight.shape[1], A.shape[1]
    x, z = xz.transpose(1, 2).chunk(2, dim=-1)
    x, _ = causal_conv1d(x, conv1d_weight.squeeze(1), conv1d_bias, activation="silu")
    made = F.linear(x, x_proj_weight)  # delta's low rank, then B and C where they are made
    delta = F.linear(made[..., :rank], delta_proj_weight)
    if dt_rms_weight is not None:
        delta = _rms_norm(delta, dt_rms_weight, b_c_dt_rms_eps)
    if B is None:
        B = _made(made[..., rank : rank + d_state], B_proj_bias, b_rms_weight, b_c_dt_rms_eps)
    if C is None:
        C = _made(made[..., -d_state:], C_proj_bias, c_rms_weight, b_c_dt_rms_eps)
    B, C = _projections(x.transpose(1, 2), A, B, C)
    y, _ = selective_scan(x, delta, A, B, C, D, z, delta_bias, delta_softplus, return_last_state=True)
    return F.linear(y, out_proj_weight, out_proj_bias)


def _made(x: Tensor, bias: Tensor | None, norm: Tensor | None, eps: float) -> Tensor:
    """B or C from its part of the projection, (batch, length, dstate), to (batch, dstate, length)."""
    if bias is not None:
        x = x + bias.to(x.dtype)
    return (x if norm is None else _rms_norm(x, norm, eps)).transpose(1, 2)


def _rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    return (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + eps) * weight).to(x.dtype)


def selective_state_update(
    state: Tensor,
    x: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    dt_bias: Tensor | None = None,
    dt_softplus: bool = False,
    state_batch_indices: Tensor | None = None,
) -> Tensor:
    """`mamba_ssm.ops.triton.selective_state_update.selective_state_update`: one token, `state` changed in place.

    The step is `kernels.selective_state_step_`; it records no gradients.

    Args:
        state: (batch, dim, dstate) or, with heads, (batch, nheads, dim, dstate); with `state_batch_indices` any number
            of rows in place of batch.
        x, dt, z: (batch, dim) or (batch, nheads, dim).
        A: (dim, dstate) or (nheads, dim, dstate); may be expanded from one value per head, like dt, D and dt_bias.
        B, C: (batch, dstate) or (batch, ngroups, dstate); head h uses group h // (nheads // ngroups).
        D, dt_bias: (dim,) or (nheads, dim).
        state_batch_indices: (batch,) integers, the row of `state` of each batch entry; none twice. A negative one
            marks padding: its output is 0 and no state is touched.

    Returns:
        (batch, dim) or (batch, nheads, dim), in x's dtype.

    Raises:
        ValueError: shapes that do not fit.
    """
    for name, tensor in (("D", D), ("dt_bias", dt_bias)):
        if tensor is not None and tensor.shape != x.shape[1:]:
            raise ValueError(f"{name} must be {tuple(x.shape[1:])}, like one row of x; got {tuple(tensor.shape)}")
    y = selective_state_step_(state, x, dt, A, B, C, D, z, dt_bias, dt_softplus, indices=state_batch_indices)
    return y if state_batch_indices is None else _without_padding(y, state_batch_indices)


def _without_padding(y: Tensor, indices: Tensor) -> Tensor:
    """0 in the rows of negative index."""
    return y.masked_fill_((indices < 0).view(-1, *(1,) * (y.ndim - 1)), 0.0)


# --- causal_conv1d ----------------------------------------------------------------------------------------------------


def causal_conv1d_fn(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    seq_idx: Tensor | None = None,
    initial_states: Tensor | None = None,
    return_final_states: bool = False,
    final_states_out: Tensor | None = None,
    activation: str | None = None,
) -> Tensor | tuple[Tensor, Tensor]:
    """`causal_conv1d.causal_conv1d_fn`; the convolution is `kernels.causal_conv1d`.

    Args:
        x: (batch, dim, length). weight: (dim, width). bias: (dim,).
        seq_idx: (batch, length) integers, which sequence a token belongs to; no token sees another sequence's, and
            where it is negative (padding) the output is 0. Made of PyTorch operations, `width` of them over x: where
            the boundaries are known, `kernels.causal_conv1d` with cu_seqlens is several times faster.
        initial_states: (batch, dim, width - 1), the inputs before x; with seq_idx, of the first token's sequence.
        final_states_out: (batch, dim, width - 1) to write the final states to.
        activation: None, "silu" or "swish" (the same).

    Returns:
        out (batch, dim, length) in x's dtype; with `return_final_states`, (out, final states (batch, dim, width - 1)).

    Raises:
        NotImplementedError: another activation (the original's error).
        ValueError: shapes that do not fit, or return_final_states together with seq_idx.
    """
    activation = _activation(activation)
    tokens = x.transpose(1, 2)
    state = None if initial_states is None else initial_states.transpose(1, 2)
    if seq_idx is not None:
        if return_final_states:
            raise ValueError("return_final_states and seq_idx do not go together: it is unclear whose states are meant")
        return _convolution_by_index(tokens, weight, bias, state, seq_idx, activation).transpose(1, 2)
    y, final = causal_conv1d(tokens, weight, bias, state, activation)
    if not return_final_states:
        return y.transpose(1, 2)
    final = final.transpose(1, 2)
    return y.transpose(1, 2), final if final_states_out is None else final_states_out.copy_(final)


def _activation(activation: str | None) -> str | None:
    if activation not in (None, "silu", "swish"):
        raise NotImplementedError(f"activation must be None, 'silu' or 'swish'; got {activation!r}")
    return None if activation is None else "silu"


def _convolution_by_index(
    x: Tensor, weight: Tensor, bias: Tensor | None, state: Tensor | None, seq_idx: Tensor, activation: str | None
) -> Tensor:
    """Tap by tap, each where it falls on the same sequence; x (batch, length, dim)."""
    batch, length, dim = x.shape
    if seq_idx.shape != (batch, length):
        raise ValueError(f"seq_idx must be (batch, length) = {(batch, length)}; got {tuple(seq_idx.shape)}")
    width, wide = weight.shape[1], torch.promote_types(x.dtype, torch.float32)
    if state is None:
        state, owner = x.new_zeros(batch, width - 1, dim), seq_idx.new_full((batch, width - 1), -1)
    else:
        owner = seq_idx[:, :1].expand(-1, width - 1)
    seen, owners = torch.cat([state.to(x.dtype), x], dim=1), torch.cat([owner, seq_idx], dim=1)
    y = x.new_zeros(x.shape, dtype=wide) if bias is None else bias.to(wide).expand(x.shape)
    for k in range(width):
        own = (owners[:, k : k + length] == seq_idx).unsqueeze(-1)
        y = y + torch.where(own, seen[:, k : k + length].to(wide) * weight[:, k].to(wide), 0)
    y = torch.where((seq_idx < 0).unsqueeze(-1), 0, y)
    return (y if activation is None else F.silu(y)).to(x.dtype)


def causal_conv1d_update(
    x: Tensor,
    conv_state: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    activation: str | None = None,
    cache_seqlens: Tensor | None = None,
    conv_state_indices: Tensor | None = None,
) -> Tensor:
    """`causal_conv1d.causal_conv1d_update`: a token or a few, `conv_state` changed in place.

    The step is `kernels.causal_conv1d_step_`; it records no gradients.

    Args:
        x: (batch, dim) or (batch, dim, tokens). weight: (dim, width). bias: (dim,).
        conv_state: (batch, dim, places), places at least width - 1: the last inputs; with `conv_state_indices` any
            number of rows in place of batch.
        activation: None, "silu" or "swish" (the same).
        cache_seqlens: (batch,) integers: conv_state is a ring, and row b's next token goes to place
            cache_seqlens[b] % places.
        conv_state_indices: (batch,) integers, the row of conv_state of each batch entry; none twice. A negative one
            marks padding: its output is 0 and no state is touched.

    Returns:
        Shaped like x, in its dtype.

    Raises:
        NotImplementedError: another activation (the original's error). ValueError: shapes that do not fit.
    """
    tokens = x.transpose(1, 2) if x.ndim == 3 else x
    y = causal_conv1d_step_(
        conv_state.transpose(1, 2), tokens, weight, bias, _activation(activation), cache_seqlens, conv_state_indices
    )
    y = y if conv_state_indices is None else _without_padding(y, conv_state_indices)
    return y.transpose(1, 2) if x.ndim == 3 else y
