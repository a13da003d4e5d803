"""`causal_conv1d`: the short depthwise convolution of Mamba's block, fused with its bias and SiLU."""

import itertools

import torch
from torch import Tensor

from seqscale.kernels import conv_pytorch
from seqscale.kernels.conv_ops import Convolution, forward_op, forward_unrecorded, resolve
from seqscale.kernels.packing import check_cu_seqlens, check_cu_seqlens_values
from seqscale.kernels.reference import causal_conv1d_reference

_DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)


def causal_conv1d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    initial_state: Tensor | None = None,
    activation: str | None = None,
    cu_seqlens: Tensor | None = None,
    implementation: str = "auto",
) -> tuple[Tensor, Tensor]:
    """Depthwise causal convolution, y_t[d] = activation(bias[d] + sum_k weight[d, k] x_{t-K+1+k}[d]).

    Args:
        x: (batch, length, channels), float32, bfloat16, float16 (computed in float32) or float64. Any strides;
            contiguous channels are fastest.
        weight: (channels, width); the last tap sees the present token. Made for widths of 2 to 8, right for any.
        bias: (channels,), or None.
        initial_state: the width - 1 inputs before x, (batch, width - 1, channels); zeros when None.
        activation: None or "silu".
        cu_seqlens: int32 or int64 (sequences + 1,), [0, end of the first sequence, ..., length]: the one batch row
            holds several sequences, none of which sees another's tokens (`kernels.packing`, also on what is checked
            where). The states then have one row per sequence.
        implementation: "auto", "triton" (CUDA, ROCm), "cpu" (compiled C), "pytorch" (PyTorch operations, any device,
            float64 too) or "reference" (the definition in float64). `kernels.choice` says what "auto" takes; it never
            takes a slow one without a warning. Under a transform of `torch.func` it is "pytorch".

    All tensors may have gradients, the final state too. Dtypes may differ: y, the final state and dx have x's.

    Returns:
        y (batch, length, channels) and the final state, the last width - 1 inputs (batch or sequences, width - 1,
        channels), to be passed on as `initial_state`.

    Raises:
        ValueError: shapes, dtypes or devices that do not fit, an unknown activation or implementation, or a named
            implementation that cannot run here.
    """
    _check(x, weight, bias, initial_state, activation, cu_seqlens)
    compiling = torch.compiler.is_compiling()
    if not compiling and torch._C._are_functorch_transforms_active():
        if implementation not in ("auto", "pytorch", "reference"):
            raise ValueError(
                f"causal_conv1d: implementation {implementation!r} cannot run under a transform of torch.func; "
                "allowed there: auto, pytorch, reference"
            )
        if implementation != "reference":
            return conv_pytorch.conv_forward(x, weight, bias, initial_state, cu_seqlens, activation is not None)
    if implementation != "auto" or not compiling:  # compiled code chooses when it runs
        implementation = resolve(implementation, x)
    if implementation == "reference":
        return _reference(x, weight, bias, initial_state, activation, cu_seqlens)
    inputs = (x, weight, bias, initial_state, cu_seqlens, activation is not None, implementation)
    if compiling:
        return forward_op(*inputs)
    if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in inputs[:4]):  # type: ignore[union-attr]
        return Convolution.apply(*inputs)
    return forward_unrecorded(*inputs)


def _reference(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    initial_state: Tensor | None,
    activation: str | None,
    cu_seqlens: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """The definition, and the final state by what it is: the last inputs of each sequence behind its initial state."""
    if cu_seqlens is not None:
        check_cu_seqlens_values(cu_seqlens, x.shape[1])
    y = causal_conv1d_reference(x, weight, bias, initial_state, activation, cu_seqlens)
    reach = weight.shape[1] - 1
    ends = [0, x.shape[1]] if cu_seqlens is None else cu_seqlens.tolist()
    rows = x.shape[0] if cu_seqlens is None else len(ends) - 1
    before = x.new_zeros(rows, reach, x.shape[2]) if initial_state is None else initial_state.to(x.dtype)
    last = []
    for s, (begin, end) in enumerate(itertools.pairwise(ends)):
        seen = torch.cat([before if cu_seqlens is None else before[s : s + 1], x[:, begin:end]], dim=1)
        last.append(seen[:, seen.shape[1] - reach :])
    return y.to(x.dtype), torch.cat(last)


def _check(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    initial_state: Tensor | None,
    activation: str | None,
    cu_seqlens: Tensor | None,
) -> None:
    """Refuse what does not fit together, in words."""
    if activation not in (None, "silu"):
        raise ValueError(f"activation must be None or 'silu'; got {activation!r}")
    if x.ndim != 3:
        raise ValueError(f"x must be (batch, length, channels); got {tuple(x.shape)}")
    batch, _, channels = x.shape
    if weight.ndim != 2 or weight.shape[0] != channels or weight.shape[1] < 1:
        raise ValueError(f"weight must be (channels, width) with channels = {channels}; got {tuple(weight.shape)}")
    if bias is not None and bias.shape != (channels,):
        raise ValueError(f"bias must be (channels,) = ({channels},); got {tuple(bias.shape)}")
    rows = batch
    if cu_seqlens is not None:
        check_cu_seqlens(cu_seqlens, batch)
        rows = cu_seqlens.shape[0] - 1
    shape = (rows, weight.shape[1] - 1, channels)
    if initial_state is not None and initial_state.shape != shape:
        what = "batch" if cu_seqlens is None else "sequences"
        raise ValueError(
            f"initial_state must be ({what}, width - 1, channels) = {shape}; got {tuple(initial_state.shape)}"
        )
    for name, tensor in (("x", x), ("weight", weight), ("bias", bias), ("initial_state", initial_state)):
        if tensor is not None and tensor.dtype not in _DTYPES:
            allowed = ", ".join(str(d).removeprefix("torch.") for d in _DTYPES)
            raise ValueError(f"{name} is {tensor.dtype}; allowed: {allowed}")
        if tensor is not None and tensor.device != x.device:
            raise ValueError(f"all tensors must be on one device; x is on {x.device} and {name} on {tensor.device}")
    if cu_seqlens is not None and cu_seqlens.device != x.device:
        raise ValueError(f"all tensors must be on one device; x is on {x.device} and cu_seqlens on {cu_seqlens.device}")
