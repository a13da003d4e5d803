"""The scan under `torch.func`: grad, jacrev, vmap and what is made of them (gradients per sample, say).

A transform wants an autograd function in the form with `setup_context`, which costs more per call; so these stand
beside the plain one of `scan_ops` and are used while a transform is active.
"""

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from seqscale.kernels.scan_ops import LIBRARY, backward_op, differentiate, differentiate_twice, forward_op, keep


class TransformedScan(torch.autograd.Function):
    """`seqscale::selective_scan`."""

    generate_vmap_rule = True

    @staticmethod
    def forward(*inputs: Any) -> Any:
        return forward_op(*inputs)

    setup_context = staticmethod(keep)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        return differentiate(ctx, *gradients, backward=_TransformedBackward.apply)


class _TransformedBackward(torch.autograd.Function):
    """`seqscale::selective_scan_backward`."""

    generate_vmap_rule = True

    @staticmethod
    def forward(*inputs: Any) -> Any:
        return backward_op(*inputs)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        pass

    backward = staticmethod(differentiate_twice)


def _one_by_one(
    operation: Callable[..., tuple[Tensor, ...]], info: Any, in_dims: tuple[int | None, ...], *args: Any
) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
    """vmap as a loop: right for every mixture of mapped and shared arguments."""
    results = []
    for i in range(info.batch_size):
        one = (a if dim is None else a.select(dim, i) for a, dim in zip(args, in_dims, strict=True))
        results.append(operation(*one))
    outputs = tuple(torch.stack(parts) for parts in zip(*results, strict=True))
    return outputs, (0,) * len(outputs)


for _name, _operation in (("selective_scan", forward_op), ("selective_scan_backward", backward_op)):
    torch.library.register_vmap(f"seqscale::{_name}", functools.partial(_one_by_one, _operation), lib=LIBRARY)
