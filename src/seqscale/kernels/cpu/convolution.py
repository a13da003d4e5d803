"""The causal depthwise convolution on the CPU: hands its tensors to `native/convolution_*.c`."""

import struct

import torch
from torch import Tensor

from seqscale.kernels.cpu.build import load
from seqscale.kernels.cpu.tensors import activations, bounds, code, empty, parameters, pointer, strides

_FIELDS = struct.Struct("26q")  # struct convolution of native/convolution.h
_NO_GRADIENTS = (0,) * 8


def conv_forward(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    initial_state: Tensor | None,
    cu_seqlens: Tensor | None,
    silu: bool,
) -> tuple[Tensor, Tensor]:
    """y_t = act(bias + sum_k weight[k] x_{t - width + 1 + k}) for every channel.

    Args:
        x: (batch, length, channels), float32, bfloat16 or float16, any strides.
        weight: (channels, width). bias: (channels,) or None.
        initial_state: (rows, width - 1, channels) or None; a row is a batch element or a packed sequence.
        cu_seqlens: ends of packed sequences (batch 1), or None.
        silu: whether act is SiLU; else it is nothing.

    Returns:
        y (batch, length, channels) and the last width - 1 inputs (rows, width - 1, channels), both in x's dtype.
    """
    x, given = activations(x), x
    weight, bias, rows, ends = _parts(x, weight, bias, cu_seqlens)
    start = _state(initial_state, x)
    y = empty(*x.shape, dtype=x.dtype)
    final = empty(rows, weight.shape[1] - 1, x.shape[2], dtype=x.dtype)
    arguments = _pack(x, weight, bias, start, ends, rows, silu, 0, (y.data_ptr(), final.data_ptr()), _NO_GRADIENTS)
    if load().seqscale_convolution_forward(arguments):
        raise MemoryError("not enough memory for the causal convolution")
    return y.to(given.dtype), final.to(given.dtype)


def conv_backward(
    dy: Tensor,
    dfinal: Tensor | None,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    initial_state: Tensor | None,
    cu_seqlens: Tensor | None,
    silu: bool,
) -> tuple[Tensor, Tensor, Tensor | None, Tensor]:
    """Gradients of `conv_forward` for those of its results (dfinal None: of y alone).

    Returns:
        dx in x's dtype; dweight (channels, width), dbias (None without bias) and dinitial (rows, width - 1, channels)
        in float32. Deterministic.
    """
    x, given, dy = activations(x), x, activations(dy)
    weight, bias, rows, ends = _parts(x, weight, bias, cu_seqlens)
    start, dfinal = _state(initial_state, x), _state(dfinal, x)
    dx = empty(*x.shape, dtype=x.dtype)
    dweight = torch.empty_like(weight)
    dbias = None if bias is None else torch.empty_like(bias)
    dinitial = empty(rows, weight.shape[1] - 1, x.shape[2])
    gradients = (dy.data_ptr(), *strides(dy), *(pointer(t) for t in (dfinal, dx, dweight, dbias, dinitial)))
    arguments = _pack(x, weight, bias, start, ends, rows, silu, code(dy), (0, 0), gradients)
    if load().seqscale_convolution_backward(arguments):
        raise MemoryError("not enough memory for the causal convolution's backward")
    return dx.to(given.dtype), dweight, dbias, dinitial


def _parts(
    x: Tensor, weight: Tensor, bias: Tensor | None, cu_seqlens: Tensor | None
) -> tuple[Tensor, Tensor | None, int, Tensor | None]:
    ends = bounds(cu_seqlens)
    return weight.float().contiguous(), parameters(bias), x.shape[0] if ends is None else ends.shape[0] - 1, ends


def _state(state: Tensor | None, x: Tensor) -> Tensor | None:
    return None if state is None else state.to(x.dtype).contiguous()


def _pack(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    start: Tensor | None,
    ends: Tensor | None,
    rows: int,
    silu: bool,
    dy_code: int,
    results: tuple[int, ...],
    gradients: tuple[int, ...],
) -> bytes:
    """In the order of struct convolution."""
    return _FIELDS.pack(
        torch.get_num_threads(), *x.shape, weight.shape[1], rows, silu, code(x), dy_code,
        x.data_ptr(), *strides(x), weight.data_ptr(), pointer(bias), pointer(start), pointer(ends),
        *results, *gradients,
    )  # fmt: skip
