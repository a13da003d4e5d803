"""One token through the selective state space on the CPU: hands its tensors to `native/step.c`."""

import struct

import torch
from torch import Tensor

from seqscale.kernels.cpu.build import load
from seqscale.kernels.cpu.tensors import empty, parameters, pointer

_FIELDS = struct.Struct("16q")  # struct step of native/step.c


def step_update(
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
    out: Tensor | None = None,
) -> Tensor:
    """Advance every row by one token; `state` is changed in place.

    Args:
        state: (rows, d_inner, d_state), float32, any strides.
        u, delta, z: (rows, d_inner). A: (d_inner, d_state). D, delta_bias: (d_inner,).
        B, C: (rows, groups, d_state). All of any dtype; computed in float32.
        out: where y goes, else a new tensor in u's dtype.

    Returns:
        y (rows, d_inner).
    """
    held = state.contiguous()
    u_, delta_, A_, B_, C_ = (x.float().contiguous() for x in (u, delta, A, B, C))
    D_, z_, bias_ = parameters(D), parameters(z), parameters(delta_bias)
    y = empty(*u.shape)
    arguments = _FIELDS.pack(
        torch.get_num_threads(), *state.shape, B.shape[1], delta_softplus, held.data_ptr(),
        u_.data_ptr(), delta_.data_ptr(), pointer(z_), A_.data_ptr(), B_.data_ptr(), C_.data_ptr(),
        pointer(D_), pointer(bias_), y.data_ptr(),
    )  # fmt: skip
    load().seqscale_step(arguments)
    if held is not state:
        state.copy_(held)
    if out is not None:
        return out.copy_(y)
    return y.to(u.dtype)
