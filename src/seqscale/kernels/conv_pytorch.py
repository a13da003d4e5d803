"""The causal depthwise convolution in PyTorch operations, for any device and float64.

Inputs are laid out behind the `width - 1` values that precede them; tap k then meets a view (or, packed, a selection)
of the tokens shifted by k. Arithmetic is in float32 (float64 for float64 x).

`conv_forward` is made of differentiable operations that know nothing of this package, so autograd and `torch.func`
may look into it; `conv_backward` is its gradient by hand, for the registered operation.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from seqscale.kernels.chunked import state_dtype
from seqscale.kernels.packing import sequence_index


class _Places(NamedTuple):
    """Of packed sequences, in the row where each stands behind its initial state; int64."""

    first_tap: Tensor  # (length,) the oldest input that a token sees; the token itself is width - 1 further
    before: Tensor  # (sequences * (width - 1),) initial states
    final: Tensor  # (sequences * (width - 1),) final states


def _places(cu_seqlens: Tensor, length: int, reach: int) -> _Places:
    ends = cu_seqlens.to(torch.int64)
    sequence = torch.arange(ends.shape[0] - 1, device=ends.device) * reach
    slots = torch.arange(reach, device=ends.device)
    tokens = torch.arange(length, device=ends.device)
    return _Places(
        tokens + sequence_index(cu_seqlens, length) * reach,
        ((ends[:-1] + sequence).unsqueeze(1) + slots).flatten(),
        ((ends[1:] + sequence).unsqueeze(1) + slots).flatten(),
    )


def _lay_out(x: Tensor, initial_state: Tensor | None, places: _Places | None, rows: int, reach: int) -> Tensor:
    """x behind its initial states, (batch, length + states, channels), in the dtype of the arithmetic."""
    wide = state_dtype(x)
    before = x.new_zeros(rows, reach, x.shape[2]) if initial_state is None else initial_state
    if places is None:
        return torch.cat([before.to(wide), x.to(wide)], dim=1)
    together = torch.cat([x[0].to(wide), before.to(wide).flatten(0, 1)])
    order = torch.cat([places.first_tap + reach, places.before]).argsort()
    return together[order].unsqueeze(0)


def _tap(laid: Tensor, k: int, length: int, places: _Places | None) -> Tensor:
    """The input that tap k multiplies, for every token."""
    return laid[:, k : k + length] if places is None else laid[:, places.first_tap + k]


def conv_forward(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    initial_state: Tensor | None,
    cu_seqlens: Tensor | None,
    silu: bool,
) -> tuple[Tensor, Tensor]:
    """Arguments as `convolution.causal_conv1d`. Returns y and the final state, in x's dtype."""
    length, reach = x.shape[1], weight.shape[1] - 1
    places = None if cu_seqlens is None else _places(cu_seqlens, length, reach)
    rows = x.shape[0] if cu_seqlens is None else cu_seqlens.shape[0] - 1
    laid = _lay_out(x, initial_state, places, rows, reach)
    y = _preactivation(laid, weight, bias, length, places)
    final = laid[:, length:] if places is None else laid[0, places.final].unflatten(0, (rows, reach))
    # cloned, so that the state does not keep the whole input alive
    return (F.silu(y) if silu else y).to(x.dtype).contiguous(), final.to(x.dtype, copy=True).contiguous()


def _preactivation(laid: Tensor, weight: Tensor, bias: Tensor | None, length: int, places: _Places | None) -> Tensor:
    taps = weight.to(laid.dtype).unbind(1)
    y = _tap(laid, 0, length, places) * taps[0]
    for k in range(1, len(taps)):
        y = y + _tap(laid, k, length, places) * taps[k]
    return y if bias is None else y + bias.to(laid.dtype)


def conv_backward(
    dy: Tensor,
    dfinal: Tensor | None,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    initial_state: Tensor | None,
    cu_seqlens: Tensor | None,
    silu: bool,
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """Returns dx in x's dtype; dweight, and dbias and dinitial_state where their input is given, in float32."""
    length, reach = x.shape[1], weight.shape[1] - 1
    places = None if cu_seqlens is None else _places(cu_seqlens, length, reach)
    rows = x.shape[0] if cu_seqlens is None else cu_seqlens.shape[0] - 1
    laid = _lay_out(x, initial_state, places, rows, reach)
    gradient = dy.to(laid.dtype)
    if silu:
        value = _preactivation(laid, weight, bias, length, places)
        s = torch.sigmoid(value)
        gradient = gradient * (s * (1 + value * (1 - s)))
    dlaid = torch.zeros_like(laid)
    dweight = []
    for k, tap in enumerate(weight.to(laid.dtype).unbind(1)):
        dweight.append((gradient * _tap(laid, k, length, places)).sum((0, 1)))
        if places is None:
            dlaid[:, k : k + length] += gradient * tap
        else:
            dlaid[:, places.first_tap + k] += gradient * tap  # no place twice
    if dfinal is not None:
        if places is None:
            dlaid[:, length:] += dfinal
        else:
            dlaid[0, places.final] += dfinal.flatten(0, 1)
    dinitial = None
    if initial_state is not None:
        before = dlaid[:, :reach] if places is None else dlaid[0, places.before].unflatten(0, (rows, reach))
        dinitial = torch.empty_like(before, memory_format=torch.contiguous_format).copy_(before)
    dx = x.new_empty(x.shape).copy_(_tap(dlaid, reach, length, places))  # copied: outputs must not share memory
    return dx, torch.stack(dweight, dim=1), None if bias is None else gradient.sum((0, 1)), dinitial
