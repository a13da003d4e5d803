"""What the native code is told about a tensor: pointer, strides, dtype. Shared by the faces of all native kernels.

The C structs have only 64-bit members, so a call's arguments are one packed row of integers; building it costs a
microsecond, where a ctypes.Structure of fifty fields costs ten.
"""

import torch
from torch import Tensor

TYPES = {torch.float32: 0, torch.bfloat16: 1}


def empty(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """A new tensor, whatever the default dtype and device are."""
    return torch.empty(shape, dtype=dtype, device="cpu")


def pointer(x: Tensor | None) -> int:
    """Address of the first element; 0 for an absent tensor."""
    return 0 if x is None else x.data_ptr()


def code(x: Tensor | None) -> int:
    """The dtype as native/tile.h counts them."""
    return 0 if x is None else TYPES[x.dtype]


def activations(x: Tensor) -> Tensor:
    """(batch, length, channels) as the native code takes it: float32 or bfloat16, channels side by side."""
    if x.dtype not in TYPES:
        x = x.float()
    return x if x.stride(2) == 1 or x.shape[2] == 1 else x.contiguous()


def parameters(x: Tensor | None) -> Tensor | None:
    """In float32, contiguous."""
    return None if x is None else x.float().contiguous()


def bounds(cu_seqlens: Tensor | None) -> Tensor | None:
    """cu_seqlens as 64-bit numbers."""
    return None if cu_seqlens is None else cu_seqlens.to(torch.int64).contiguous()


def strides(x: Tensor | None) -> tuple[int, int]:
    """Elements from one batch row, and from one time step, to the next."""
    return (0, 0) if x is None else (x.stride(0), x.stride(1))
