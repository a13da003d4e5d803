"""The causal convolution as PyTorch operations: `seqscale::causal_conv1d` and its backward (see `scan_ops`).

Dtypes. Every tensor may have its own; y and the final state have x's, every gradient its input's, and all arithmetic is
done in float32 (float64 for float64 x), under autocast as well.
"""

import functools
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from seqscale.kernels import conv_pytorch
from seqscale.kernels.choice import choose
from seqscale.kernels.chunked import state_dtype
from seqscale.kernels.dispatch import call
from seqscale.kernels.flops import count
from seqscale.kernels.packing import check_cu_seqlens_values

IMPLEMENTATIONS = ("triton", "cpu", "pytorch", "reference")

_LIBRARY = torch.library.Library("seqscale", "FRAGMENT")
_INPUTS = (
    "Tensor x, Tensor weight, Tensor? bias, Tensor? initial_state, Tensor? cu_seqlens, bool silu, str implementation"
)
_TAGS = (torch.Tag.pt2_compliant_tag,)
_LIBRARY.define(f"causal_conv1d({_INPUTS}) -> (Tensor, Tensor)", tags=_TAGS)
_LIBRARY.define(
    f"causal_conv1d_backward(Tensor? dy, Tensor? dfinal, {_INPUTS}) -> (Tensor, Tensor, Tensor, Tensor)", tags=_TAGS
)
forward_op = torch.ops.seqscale.causal_conv1d.default
backward_op = torch.ops.seqscale.causal_conv1d_backward.default


def resolve(implementation: str, x: Tensor) -> str:
    """ "auto" made concrete, and a named implementation checked (`choice.choose`)."""
    return choose(implementation, x, "causal_conv1d", "pytorch", IMPLEMENTATIONS)


@functools.cache
def _module(implementation: str) -> ModuleType:
    if implementation == "pytorch":
        return conv_pytorch
    if implementation == "triton":
        from seqscale.kernels.gpu import convolution as gpu

        return gpu
    from seqscale.kernels.cpu import convolution as cpu

    return cpu


def _backend(implementation: str, x: Tensor) -> ModuleType:
    if not x.numel():  # kernels need not care about nothing
        return conv_pytorch
    # "auto" arrives here from compiled code, which does not look into the choice
    return _module(resolve(implementation, x) if implementation == "auto" else implementation)


def _forward(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    initial_state: Tensor | None,
    cu_seqlens: Tensor | None,
    silu: bool,
    implementation: str,
) -> tuple[Tensor, Tensor]:
    if cu_seqlens is not None and not cu_seqlens.is_cuda:
        check_cu_seqlens_values(cu_seqlens, x.shape[1])
    return _backend(implementation, x).conv_forward(x, weight, bias, initial_state, cu_seqlens, silu)


def _backward(
    dy: Tensor | None,
    dfinal: Tensor | None,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    initial_state: Tensor | None,
    cu_seqlens: Tensor | None,
    silu: bool,
    implementation: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    dx, dweight, dbias, dinitial = _backend(implementation, x).conv_backward(
        torch.zeros_like(x) if dy is None else dy, dfinal, x, weight, bias, initial_state, cu_seqlens, silu
    )
    # an operation cannot return None
    return (
        dx,
        dweight,
        dweight.new_empty(0) if bias is None or dbias is None else dbias,
        dweight.new_empty(0) if initial_state is None or dinitial is None else dinitial,
    )


_LIBRARY.impl("causal_conv1d", _forward, "CompositeExplicitAutograd")
_LIBRARY.impl("causal_conv1d_backward", _backward, "CompositeExplicitAutograd")


@torch.library.register_fake("seqscale::causal_conv1d", lib=_LIBRARY)
def _(x, weight, bias, initial_state, cu_seqlens, silu, implementation):  # type: ignore[no-untyped-def]
    rows = x.shape[0] if cu_seqlens is None else cu_seqlens.shape[0] - 1
    return x.new_empty(x.shape), x.new_empty((rows, weight.shape[1] - 1, x.shape[2]))


@torch.library.register_fake("seqscale::causal_conv1d_backward", lib=_LIBRARY)
def _(dy, dfinal, x, weight, bias, initial_state, cu_seqlens, silu, implementation):  # type: ignore[no-untyped-def]
    shapes = (weight.shape, *(0 if t is None else t.shape for t in (bias, initial_state)))
    return x.new_empty(x.shape), *(x.new_empty(shape, dtype=state_dtype(x)) for shape in shapes)


# --- autograd ---------------------------------------------------------------------------------------------------------


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    *tensors, ctx.silu, ctx.implementation = inputs
    ctx.save_for_backward(*tensors)
    ctx.set_materialize_grads(False)


def _differentiate(ctx: Any, dy: Tensor | None, dfinal: Tensor | None) -> tuple[Tensor | None, ...]:
    x, weight, bias, initial_state, cu_seqlens = ctx.saved_tensors
    inputs = (x, weight, bias, initial_state)
    gradients = call(backward_op, _backward, dy, dfinal, *inputs, cu_seqlens, ctx.silu, ctx.implementation)
    found = (None if t is None else g.to(t.dtype) for t, g in zip(inputs, gradients, strict=True))
    return (*found, None, None, None)


def _differentiate_twice(ctx: Any, *_: Any) -> None:
    raise NotImplementedError(
        "causal_conv1d has no second derivative in this implementation; implementation='reference' has all of them"
    )


torch.library.register_autograd("seqscale::causal_conv1d", _differentiate, setup_context=_keep, lib=_LIBRARY)
torch.library.register_autograd("seqscale::causal_conv1d_backward", _differentiate_twice, lib=_LIBRARY)


forward_unrecorded = functools.partial(call, forward_op, _forward)  # for where no gradients are recorded


class Convolution(torch.autograd.Function):
    """What `register_autograd` makes, in fewer layers: tens of microseconds less per forward and backward."""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        output = forward_unrecorded(*inputs)
        _keep(ctx, inputs, output)
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        return _differentiate(ctx, *gradients)


# --- FLOPs ------------------------------------------------------------------------------------------------------------


def conv_flops(tokens: int, channels: int, width: int) -> int:
    """Floating-point operations of one forward over `tokens` tokens of the whole batch: each meets every tap."""
    return 2 * tokens * channels * width


def _formula(x_shape, weight_shape, *args, **kwargs) -> int:  # type: ignore[no-untyped-def]
    return conv_flops(x_shape[0] * x_shape[1], *weight_shape)


def _backward_formula(dy_shape, dfinal_shape, x_shape, weight_shape, *args, **kwargs) -> int:  # type: ignore[no-untyped-def]
    return 2 * conv_flops(x_shape[0] * x_shape[1], *weight_shape)  # as for every operation: twice the forward


count(torch.ops.seqscale.causal_conv1d, _formula)
count(torch.ops.seqscale.causal_conv1d_backward, _backward_formula)
