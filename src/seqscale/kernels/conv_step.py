"""One token, or a few, through the causal convolution: the state is changed in place."""

import functools
from typing import Any

import torch
from torch import Tensor

from seqscale.kernels.choice import choose
from seqscale.kernels.conv_ops import conv_flops
from seqscale.kernels.flops import count
from seqscale.kernels.step import keep_rows, seen_by_pytorch

_ALLOWED = ("triton", "cpu", "pytorch")


def causal_conv1d_step_(
    state: Tensor,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    activation: str | None = None,
    cache_seqlens: Tensor | None = None,
    indices: Tensor | None = None,
    implementation: str = "auto",
) -> Tensor:
    """Continue `kernels.causal_conv1d` by a token: `state`, the inputs before it, moves up and takes it in.

    Records no gradients. On a GPU one kernel that waits for nothing and reads no value on the host: fit for CUDA
    graphs.

    Args:
        state: (batch, places, channels), places at least width - 1: the last inputs, the latest at the end.
        x: (batch, channels), or (batch, tokens, channels). Any strides, here and of `state`.
        weight: (channels, width). bias: (channels,), or None.
        activation: None or "silu".
        cache_seqlens: int32 or int64 (batch,), how many tokens each row has seen: `state` is then a ring, token t in
            place t % places, in which nothing moves.
        indices: int32 or int64 (batch,), the row of `state` that belongs to each row of x; none twice. A negative one
            marks padding: no state is touched, and its row of y is 0.
        implementation: "auto", "triton", "cpu" or "pytorch"; see `kernels.choice`.

    Returns:
        y, shaped like x and in its dtype.

    Raises:
        ValueError: shapes that do not fit, an unknown activation or implementation, or a named implementation that
            cannot run here.
    """
    _check(state, x, weight, bias, activation, cache_seqlens, indices)
    tokens = x.unsqueeze(1) if x.ndim == 2 else x
    inputs = (state, tokens, weight, bias, activation is not None, cache_seqlens, indices, implementation)
    if seen_by_pytorch(state):
        with torch.no_grad():
            y = torch.ops.seqscale.causal_conv1d_step_(*inputs)
    else:
        y = _run(*inputs)
    return y.squeeze(1) if x.ndim == 2 else y


def _run(
    state: Tensor,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    silu: bool,
    cache_seqlens: Tensor | None,
    indices: Tensor | None,
    implementation: str,
) -> Tensor:
    implementation = choose(implementation, x, "causal_conv1d_step_", "pytorch", _ALLOWED)
    if implementation == "triton":
        return _module("triton").conv_update(state, x, weight, bias, silu, cache_seqlens, indices)
    forward = _module("cpu" if implementation == "cpu" else "pytorch").conv_forward
    with torch.no_grad():
        reach, places, tokens = weight.shape[1] - 1, state.shape[1], x.shape[1]
        rows = state if indices is None else state[indices.clamp(min=0)]
        if cache_seqlens is None and places == reach:
            y, following = forward(x, weight, bias, rows.to(x.dtype), None, silu)
        elif cache_seqlens is None:
            y, _ = forward(x, weight, bias, rows[:, places - reach :].to(x.dtype), None, silu)
            following = torch.cat([rows, x.to(rows.dtype)], dim=1)[:, tokens:]
        else:
            y, _ = forward(x, weight, bias, _of_ring(rows, cache_seqlens, -reach, reach).to(x.dtype), None, silu)
            late = min(tokens, places)  # no place is written twice
            ahead = torch.arange(tokens - late, tokens, device=x.device)
            place = (cache_seqlens.unsqueeze(1) + ahead) % places
            following = rows.scatter(1, _wide(place, rows), x[:, tokens - late :].to(rows.dtype))
        return keep_rows(state, following, y, indices)


def _of_ring(ring: Tensor, cache_seqlens: Tensor, first: int, count: int) -> Tensor:
    """`count` inputs from the one `first` places after the next to be written."""
    place = cache_seqlens.unsqueeze(1) + torch.arange(first, first + count, device=ring.device)
    return ring.gather(1, _wide(place % ring.shape[1], ring))


def _wide(place: Tensor, like: Tensor) -> Tensor:
    return place.to(torch.int64).unsqueeze(2).expand(-1, -1, like.shape[2])


@functools.cache
def _module(name: str) -> Any:
    if name == "triton":
        from seqscale.kernels.gpu import step

        return step
    if name == "cpu":
        from seqscale.kernels.cpu import convolution

        return convolution
    from seqscale.kernels import conv_pytorch

    return conv_pytorch


_LIBRARY = torch.library.Library("seqscale", "FRAGMENT")
_LIBRARY.define(
    "causal_conv1d_step_(Tensor(a!) state, Tensor x, Tensor weight, Tensor? bias, bool silu, Tensor? cache_seqlens, "
    "Tensor? indices, str implementation) -> Tensor",
    tags=(torch.Tag.pt2_compliant_tag,),
)
_LIBRARY.impl("causal_conv1d_step_", _run, "CompositeExplicitAutograd")


@torch.library.register_fake("seqscale::causal_conv1d_step_", lib=_LIBRARY)
def _(state, x, *_):  # type: ignore[no-untyped-def]
    return x.new_empty(x.shape)


def _formula(state_shape, x_shape, weight_shape, *args, **kwargs) -> int:  # type: ignore[no-untyped-def]
    return conv_flops(x_shape[0] * x_shape[1], *weight_shape)


count(torch.ops.seqscale.causal_conv1d_step_, _formula)


def _check(
    state: Tensor,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    activation: str | None,
    cache_seqlens: Tensor | None,
    indices: Tensor | None,
) -> None:
    """Refuse what does not fit, in words."""
    if activation not in (None, "silu"):
        raise ValueError(f"activation must be None or 'silu'; got {activation!r}")
    if x.ndim not in (2, 3):
        raise ValueError(f"x must be (batch, channels) or (batch, tokens, channels); got {tuple(x.shape)}")
    batch, channels = x.shape[0], x.shape[-1]
    if weight.ndim != 2 or weight.shape[0] != channels or weight.shape[1] < 1:
        raise ValueError(f"weight must be (channels, width) with channels = {channels}; got {tuple(weight.shape)}")
    if bias is not None and bias.shape != (channels,):
        raise ValueError(f"bias must be (channels,) = ({channels},); got {tuple(bias.shape)}")
    reach = weight.shape[1] - 1
    least = reach if cache_seqlens is None else max(reach, 1)
    fits = state.ndim == 3 and state.shape[1] >= least and state.shape[2] == channels
    if not fits or (indices is None and state.shape[0] != batch):
        raise ValueError(
            f"state must be (batch, places, channels) = ({batch}, {least} or more, {channels}); "
            f"got {tuple(state.shape)}"
        )
    for name, vector in (("cache_seqlens", cache_seqlens), ("indices", indices)):
        if vector is not None and vector.shape != (batch,):
            raise ValueError(f"{name} must be (batch,) = ({batch},); got {tuple(vector.shape)}")
