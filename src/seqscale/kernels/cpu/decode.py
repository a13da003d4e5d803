"""Decoding: a whole Mamba mixer for one token per row in a single native call (`native/decode.c`).

Called operation by operation, a step of a small mixer spends its time on the way from Python to the arithmetic and
back: some twenty operations of a few microseconds each, around one microsecond of work.
"""

import struct
from collections.abc import Sequence

import torch
from torch import Tensor

from seqscale.kernels.cpu import build

_WEIGHTS = struct.Struct("17q")  # struct mamba of native/decode.c
_TOKEN = struct.Struct("8q")  # struct token
MOST_ROWS = 16  # beyond, the ordinary path's matrix products are faster


def applies(x: Tensor) -> bool:
    """Whether a step of x (batch, d_model) may go past PyTorch: nobody wants gradients and nobody looks on."""
    return (
        not torch.is_grad_enabled()
        and not torch.compiler.is_compiling()
        and type(x) is Tensor
        and x.dtype is torch.float32
        and x.is_cpu
        and x.shape[0] <= MOST_ROWS
        and torch._C._len_torch_dispatch_stack() == 0  # FlopCounterMode and its like
        and not torch._C._are_functorch_transforms_active()
        and not torch.is_autocast_enabled("cpu")
        and build.available()
    )


class Weights:
    """The parameters of one mixer as the native code takes them.

    They are looked at by address on every step, so that a mixer whose parameters move (to another device or dtype, or
    exchanged) is never served from where they were.
    """

    def __init__(self, d_model: int, d_inner: int, d_state: int, d_conv: int, dt_rank: int) -> None:
        self._sizes = (d_model, d_inner, d_state, d_conv, dt_rank)
        self._pointers: tuple[int, ...] = ()
        self._packed = b""

    def packed(self, tensors: Sequence[Tensor | None]) -> bytes | None:
        """`tensors`: weight and bias of in_proj, conv, x_proj, dt_proj and out_proj, then A_log and D.

        None when they are not what the native code takes: float32 on the CPU, contiguous.
        """
        pointers = tuple([0 if x is None else x.data_ptr() for x in tensors])
        if pointers != self._pointers:
            self._packed = b""
            if all(x is None or _plain(x) for x in tensors):
                self._packed = _WEIGHTS.pack(*self._sizes, *pointers)
            self._pointers = pointers
        return self._packed or None


def _plain(x: Tensor) -> bool:
    return x.dtype is torch.float32 and x.is_cpu and x.is_contiguous()


def mamba_step(x: Tensor, conv: Tensor, ssm: Tensor, weights: bytes) -> tuple[Tensor, Tensor, Tensor]:
    """One token through a Mamba mixer.

    Args:
        x: (batch, d_model), for which `applies` holds.
        conv: (batch, d_conv - 1, d_inner), the last inputs of the convolution.
        ssm: (batch, d_inner, d_state).
        weights: from `Weights.packed`.

    Returns:
        y (batch, d_model) and the next `conv` and `ssm`, in float32; all new tensors.
    """
    x, conv, ssm = x.contiguous(), conv.float().contiguous(), ssm.float().contiguous()
    y, next_conv, next_ssm = torch.empty_like(x), torch.empty_like(conv), torch.empty_like(ssm)
    token = _TOKEN.pack(
        torch.get_num_threads(), x.shape[0], x.data_ptr(), conv.data_ptr(), ssm.data_ptr(),
        y.data_ptr(), next_conv.data_ptr(), next_ssm.data_ptr(),
    )  # fmt: skip
    if build.load().seqscale_mamba_step(weights, token):
        raise MemoryError("not enough memory for a decoding step")
    return y, next_conv, next_ssm
