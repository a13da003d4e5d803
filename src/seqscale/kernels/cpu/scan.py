"""The selective scan on the CPU: hands its tensors to `native/scan_forward.c` and `native/scan_backward.c`.

Both compute in float32 whatever the tensors' dtype; the bits of the results depend on neither the number of threads
nor the run. Vectors are as wide as the machine's (`build.isa`).
"""

import struct

import torch
from torch import Tensor

from seqscale.kernels.cpu.build import TILE, load
from seqscale.kernels.cpu.tensors import activations, bounds, code, empty, parameters, pointer, strides

_FIELDS = struct.Struct("50q")  # struct scan of native/scan.h
_NO_GRADIENTS = (0,) * 12


def saved_shape(
    batch: int, length: int, d_inner: int, d_state: int, sequences: int | None, save: bool
) -> tuple[int, ...]:
    """Shape of the states kept for the backward, (chunks, d_state, d_inner): one before each TILE tokens."""
    if not save:
        return (0,)
    chunks = batch * -(-length // TILE) if sequences is None else length // TILE + sequences
    return (chunks, d_state, d_inner)


def scan_forward(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    z: Tensor | None,
    delta_bias: Tensor | None,
    initial_state: Tensor | None,
    cu_seqlens: Tensor | None,
    delta_softplus: bool,
    save: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Run the scan (`kernels.scan.selective_scan` has the equations).

    Args:
        u, delta, z: (batch, length, d_inner), float32, bfloat16 or float16, any strides.
        A: (d_inner, d_state). B, C: (batch, length, groups, d_state). D, delta_bias: (d_inner,).
        initial_state: (rows, d_inner, d_state); a row is a batch element or a packed sequence.
        cu_seqlens: ends of packed sequences (batch 1), rising from 0 to length: not checked here.
        save: whether to keep what the backward needs.

    Returns:
        y (batch, length, d_inner) in u's dtype; the last states (rows, d_inner, d_state), float32; what
        `scan_backward` needs, float32, `saved_shape`.
    """
    kind, (batch, length, d_inner) = u.dtype, u.shape
    inputs = _inputs(u, delta, A, B, C, D, z, delta_bias, initial_state, cu_seqlens)
    rows = batch if cu_seqlens is None else cu_seqlens.shape[0] - 1
    y = empty(*u.shape, dtype=inputs[0].dtype)
    last = empty(rows, d_inner, A.shape[1])
    sequences = None if cu_seqlens is None else rows
    saved = empty(*saved_shape(batch, length, d_inner, A.shape[1], sequences, save))
    results = (y.data_ptr(), last.data_ptr(), saved.data_ptr() if save else 0)
    arguments = _pack(inputs, rows, delta_softplus, 0, (*results, 0, *_NO_GRADIENTS))
    if load().seqscale_scan_forward(arguments):
        raise MemoryError("not enough memory for the selective scan")
    return y.to(kind), last, saved


def scan_backward(
    dout: Tensor,
    dlast: Tensor | None,
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    z: Tensor | None,
    delta_bias: Tensor | None,
    initial_state: Tensor | None,
    cu_seqlens: Tensor | None,
    delta_softplus: bool,
    saved: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor | None, Tensor | None, Tensor | None, Tensor]:
    """Gradients of `scan_forward` for those of y and of the last states (None: zeros).

    Returns:
        du, ddelta, dA, dB, dC, dD, dz, ddelta_bias, dinitial_state, None for what was None. du, ddelta, dB, dC and dz
        have their inputs' dtype, the others are float32; dinitial_state (rows, d_inner, d_state) always comes.
    """
    inputs = _inputs(u, delta, A, B, C, D, z, delta_bias, initial_state, cu_seqlens)
    u_, delta_, A_, B_, C_, D_, z_, bias_ = inputs[:8]
    dout, dlast = activations(dout), parameters(dlast)
    rows = u.shape[0] if cu_seqlens is None else cu_seqlens.shape[0] - 1
    du, ddelta = empty(*u.shape, dtype=u_.dtype), empty(*u.shape, dtype=delta_.dtype)
    dz = None if z_ is None else empty(*u.shape, dtype=z_.dtype)
    dA, dB, dC = empty(*A_.shape), empty(*B_.shape), empty(*C_.shape)
    dD = None if D_ is None else empty(*D_.shape)
    dbias = None if bias_ is None else empty(*bias_.shape)
    dstart = empty(rows, *A.shape)
    gradients = (du, ddelta, dz, dA, dB, dC, dD, dbias, dstart)
    rest = (dout.data_ptr(), *strides(dout), pointer(dlast), *(pointer(x) for x in gradients))
    arguments = _pack(inputs, rows, delta_softplus, code(dout), (0, 0, saved.data_ptr(), *rest))
    if load().seqscale_scan_backward(arguments):
        raise MemoryError("not enough memory for the selective scan's backward")
    dz = None if dz is None or z is None else dz.to(z.dtype)
    return du.to(u.dtype), ddelta.to(delta.dtype), dA, dB.to(B.dtype), dC.to(C.dtype), dD, dz, dbias, dstart


_Inputs = tuple[
    Tensor, Tensor, Tensor, Tensor, Tensor, Tensor | None, Tensor | None, Tensor | None, Tensor | None, Tensor | None
]


def _inputs(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    z: Tensor | None,
    delta_bias: Tensor | None,
    initial_state: Tensor | None,
    cu_seqlens: Tensor | None,
) -> _Inputs:
    """As the native code takes them; the caller must keep them alive while it runs."""
    return (
        activations(u),
        activations(delta),
        A.float().contiguous(),
        _projections(B),
        _projections(C),
        parameters(D),
        None if z is None else activations(z),
        parameters(delta_bias),
        parameters(initial_state),
        bounds(cu_seqlens),
    )


def _projections(x: Tensor) -> Tensor:
    """B or C: float32, states side by side."""
    x = x.float()
    return x if x.stride(3) == 1 or x.shape[3] == 1 else x.contiguous()


def _pack(inputs: _Inputs, rows: int, softplus: bool, dout_code: int, rest: tuple[int, ...]) -> bytes:
    """In the order of struct scan."""
    u, delta, A, B, C, D, z, bias, start, ends = inputs
    return _FIELDS.pack(
        torch.get_num_threads(), *u.shape, A.shape[1], B.shape[2], rows,
        softplus, code(u), code(delta), code(z), dout_code,
        u.data_ptr(), delta.data_ptr(), pointer(z), *strides(u), *strides(delta), *strides(z),
        A.data_ptr(), B.data_ptr(), C.data_ptr(), pointer(D), pointer(bias), pointer(start),
        *B.stride()[:3], *C.stride()[:3], pointer(ends), *rest,
    )  # fmt: skip
