"""One token through the selective state space: the whole of decoding, O(1) in time and memory.

`selective_state_step` returns the next state and can be differentiated; `selective_state_step_` changes the state in
place, in one kernel, and is what decoding should use.
"""

import functools
import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from seqscale.kernels.choice import choose
from seqscale.kernels.dispatch import seen_by_pytorch
from seqscale.kernels.flops import count, scan_flops

_ALLOWED = ("triton", "cpu", "pytorch")


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
    """Advance the scan by one token (the recurrence of `kernels.scan.selective_scan`), in PyTorch operations.

    Args:
        state: (batch, d_inner, d_state), float32 (or float64: then all arithmetic is done in it).
        u, delta, z: (batch, d_inner).
        A: (d_inner, d_state). D, delta_bias: (d_inner,).
        B, C: (batch, d_state), or (batch, groups, d_state), where channel d belongs to group d // (d_inner // groups).

    With heads, as Mamba-2 has them, (heads, dim) stands everywhere in place of d_inner.

    Returns:
        y, shaped like u and in its dtype, and the next state; `state` itself is left as it was.
    """
    _check(state, u, delta, A, B, C, z, None)
    wide = torch.promote_types(state.dtype, torch.float32)
    inner = u.ndim - 1  # dimensions of the channels: one, or two with heads
    delta = delta.to(wide)
    if delta_bias is not None:
        delta = delta + delta_bias.to(wide)
    if delta_softplus:
        delta = F.softplus(delta)
    decay = torch.exp(delta.unsqueeze(-1) * A.to(wide))
    x = u.to(wide)
    following = decay * state + (delta * x).unsqueeze(-1) * _spread(B.to(wide), u.shape[1], inner)
    y = (following * _spread(C.to(wide), u.shape[1], inner)).sum(-1)  # not `@`: autocast would round the state
    if D is not None:
        y = y + D.to(wide) * x
    if z is not None:
        y = y * F.silu(z.to(wide))
    return y.to(u.dtype), following.to(state.dtype)


def _spread(x: Tensor, channels: int, inner: int) -> Tensor:
    """B or C against the state: (batch, [groups,] d_state) -> (batch, channels or 1, ..., d_state)."""
    if x.ndim == 2:
        x = x.unsqueeze(1)
    elif x.shape[1] > 1:
        x = x.repeat_interleave(channels // x.shape[1], dim=1)
    return x if inner == 1 else x.unsqueeze(2)


def selective_state_step_(
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
    indices: Tensor | None = None,
    implementation: str = "auto",
) -> Tensor:
    """As `selective_state_step`, but `state` becomes the next state. Records no gradients.

    On a GPU one kernel that waits for nothing and reads no value on the host: fit for CUDA graphs.

    Args:
        state: as there, any strides; in bfloat16 or float16 it is rounded after every token.
        indices: int32 or int64 (batch,), the row of `state` that belongs to each row of u; none twice. A negative
            one marks padding: no state is touched, and its row of y is 0.
        implementation: "auto", "triton", "cpu" or "pytorch"; see `kernels.choice`.

    Returns:
        y, shaped like u and in its dtype.

    Raises:
        ValueError: shapes that do not fit, an unknown implementation, or a named one that cannot run here.
    """
    _check(state, u, delta, A, B, C, z, indices)
    if B.ndim == 2:
        B, C = B.unsqueeze(1), C.unsqueeze(1)
    inputs = (state, u, delta, A, B, C, D, z, delta_bias, delta_softplus, indices)
    if seen_by_pytorch(state):
        with torch.no_grad():
            return torch.ops.seqscale.selective_state_step_(*inputs, implementation)
    return _run(*inputs, implementation)


def _run(
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
    indices: Tensor | None,
    implementation: str,
) -> Tensor:
    implementation = choose(implementation, u, "selective_state_step_", "pytorch", _ALLOWED)
    rest = (u, delta, A, B, C, D, z, delta_bias, delta_softplus)
    if implementation == "triton":
        return _kernel("gpu")(state, *rest, indices=indices)
    if implementation == "cpu" and indices is None and u.ndim == 2 and state.dtype == torch.float32:
        return _kernel("cpu")(state, *rest)
    with torch.no_grad():
        following = state if indices is None else state[indices.clamp(min=0)]
        if implementation == "cpu":
            y, following = _flat(following, *rest)
        else:
            y, following = selective_state_step(following, *rest)
        return keep_rows(state, following, y, indices)


@functools.cache
def _kernel(folder: str) -> Any:
    if folder == "gpu":
        from seqscale.kernels.gpu import step as gpu

        return gpu.step_update
    from seqscale.kernels.cpu import step as cpu

    return cpu.step_update


def _flat(
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
) -> tuple[Tensor, Tensor]:
    """The compiled kernel for other dtypes of the state and for heads, which it does not know: (y, next state)."""
    shape = (u.shape[0], -1)
    flat = state.to(torch.float32, copy=True).flatten(1, -2)
    u_, delta_, z_ = (None if t is None else t.reshape(shape) for t in (u, delta, z))
    D_, bias_ = (None if t is None else t.reshape(-1) for t in (D, delta_bias))
    y = _kernel("cpu")(flat, u_, delta_, A.reshape(-1, A.shape[-1]), B, C, D_, z_, bias_, delta_softplus)
    return y.view(u.shape), flat.view(state.shape)


def keep_rows(state: Tensor, following: Tensor, y: Tensor, indices: Tensor | None) -> Tensor:
    """Write the next states to where they belong; those of negative index belong nowhere, and their y becomes 0."""
    if indices is None:
        state.copy_(following)
        return y
    real = indices >= 0
    state[indices[real]] = following[real].to(state.dtype)
    y[~real] = 0
    return y


_LIBRARY = torch.library.Library("seqscale", "FRAGMENT")
_LIBRARY.define(
    "selective_state_step_(Tensor(a!) state, Tensor u, Tensor delta, Tensor A, Tensor B, Tensor C, Tensor? D, "
    "Tensor? z, Tensor? delta_bias, bool delta_softplus, Tensor? indices, str implementation) -> Tensor",
    tags=(torch.Tag.pt2_compliant_tag,),
)
_LIBRARY.impl("selective_state_step_", _run, "CompositeExplicitAutograd")


@torch.library.register_fake("seqscale::selective_state_step_", lib=_LIBRARY)
def _(state, u, *_):  # type: ignore[no-untyped-def]
    return u.new_empty(u.shape)


def _formula(state_shape, u_shape, *args, **kwargs) -> int:  # type: ignore[no-untyped-def]
    channels = math.prod(u_shape[1:])
    return scan_flops(u_shape[0], 1, channels, state_shape[-1])


count(torch.ops.seqscale.selective_state_step_, _formula)


def _check(
    state: Tensor, u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, z: Tensor | None, indices: Tensor | None
) -> None:
    """Refuse what does not fit, in words. Decoding pays for it with every token, so the small vectors go unchecked."""
    shape, channels = state.shape, u.shape[1:]
    if len(shape) not in (3, 4) or shape[1:-1] != channels or (indices is None and shape[0] != u.shape[0]):
        raise ValueError(
            "state must be (batch, d_inner, d_state) beside u (batch, d_inner), or (batch, heads, dim, d_state) beside "
            f"(batch, heads, dim); got {tuple(shape)} and {tuple(u.shape)}"
        )
    if delta.shape != u.shape or (z is not None and z.shape != u.shape):
        raise ValueError(
            f"delta and z must be shaped like u, {tuple(u.shape)}; got {tuple(delta.shape)}"
            + ("" if z is None else f" and {tuple(z.shape)}")
        )
    if A.shape != shape[1:]:
        raise ValueError(f"A must be shaped like one state, {tuple(shape[1:])}; got {tuple(A.shape)}")
    for name, x in (("B", B), ("C", C)):
        groups = x.shape[1] if x.ndim == 3 else 1
        if x.ndim not in (2, 3) or x.shape[0] != u.shape[0] or x.shape[-1] != shape[-1] or channels[0] % groups:
            raise ValueError(
                f"{name} must be (batch, d_state) = {(u.shape[0], shape[-1])}, or (batch, groups, d_state) with "
                f"{channels[0]} a multiple of groups; got {tuple(x.shape)}"
            )
    if B.shape != C.shape:
        raise ValueError(f"B and C must have the same groups; got {tuple(B.shape)} and {tuple(C.shape)}")
    if indices is not None and indices.shape != u.shape[:1]:
        raise ValueError(f"indices must be (batch,) = ({u.shape[0]},); got {tuple(indices.shape)}")
