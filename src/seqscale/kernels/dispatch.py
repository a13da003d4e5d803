"""Calling an operation by the shortest way that nobody can tell from the long one.

PyTorch's dispatcher hands an operation written in Python from Python to C++ and back: 20 to 50 us for a dozen
arguments, as much as a small scan takes. It is worth it where somebody looks on (autograd, a compiler, a mode such as
FlopCounterMode, a profiler) and past it goes everybody else.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

_PLAIN = frozenset((Tensor, torch.nn.Parameter, type(None), bool, str))


def seen_by_pytorch(*args: Any) -> bool:
    """Whether somebody looks on who must see one operation.

    That is a compiler, a dispatch mode (FlopCounterMode, FakeTensorMode), a `torch.func` transform, a profiler, forward
    differentiation, or among `args` a tensor of a type of its own or without values.
    """
    return (
        torch.compiler.is_compiling()
        or torch._C._len_torch_dispatch_stack() > 0
        or torch._C._are_functorch_transforms_active()
        or torch._C._autograd._profiler_enabled()
        or forward_ad._current_level >= 0
        or not _PLAIN.issuperset(map(type, args))
        or any(isinstance(x, Tensor) and x.is_meta for x in args)
    )


def call(operation: Any, direct: Callable[..., Any], *args: Any) -> Any:
    """`operation(*args)`; past autograd's registration, and past the dispatcher, where there is nothing to see.

    Args:
        operation: an overload of `torch.ops.seqscale`.
        direct: the Python function behind it.
    """
    if torch.is_grad_enabled():
        return operation(*args)
    if not seen_by_pytorch(*args):
        return direct(*args)
    with torch._C._AutoDispatchBelowAutograd():
        return operation(*args)
