"""`selective_scan`: one function, several implementations, nothing falls back silently."""

import torch
from torch import Tensor

from seqscale.kernels.packing import check_cu_seqlens, check_cu_seqlens_values
from seqscale.kernels.reference import selective_scan_reference
from seqscale.kernels.scan_ops import Scan, forward_op, forward_unrecorded, resolve
from seqscale.kernels.scan_transforms import TransformedScan

_DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)


def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
    initial_state: Tensor | None = None,
    cu_seqlens: Tensor | None = None,
    return_last_state: bool = False,
    implementation: str = "auto",
) -> Tensor | tuple[Tensor, Tensor]:
    """The selective scan of Mamba (Gu & Dao 2023, arXiv 2312.00752, algorithm 2).

        delta_t = softplus(delta_t + delta_bias)                     (each part where given)
        h_t = exp(delta_t A) h_{t-1} + delta_t B_t u_t
        y_t = (<C_t, h_t> + D u_t) * silu(z_t)

    Args:
        u: input, (batch, length, d_inner), float32, bfloat16 or float16 (state in float32), or float64 (state too).
            Any strides, here and below.
        delta: step sizes before bias and softplus, (batch, length, d_inner).
        A: (d_inner, d_state), real, negative for a stable system.
        B, C: (batch, length, d_state), or (batch, length, groups, d_state), where channel d belongs to group
            d // (d_inner // groups).
        D: (d_inner,) skip weight, or None.
        z: (batch, length, d_inner) gate, or None.
        delta_bias: (d_inner,), or None.
        initial_state: (batch, d_inner, d_state), or None for zeros.
        cu_seqlens: int32 or int64 (sequences + 1,), [0, end of the first sequence, ..., length]: the one batch row
            holds several sequences, and the state starts anew at each (`kernels.packing`, also on what is checked
            where). initial_state and the last state then have one row per sequence.
        return_last_state: also return h_length, (batch or sequences, d_inner, d_state), in the state's dtype.
        implementation: "auto", "triton" (CUDA, ROCm), "cpu" (compiled C), "chunked" (PyTorch operations, any device,
            float64 too) or "reference" (the definition in float64, token by token). `kernels.choice` says what "auto"
            takes; it never takes a slow one without a warning.

    All tensors may have gradients, the last state too. Dtypes may differ (`kernels.scan_ops` has the rule): the output
    has u's, each gradient its tensor's, and all arithmetic is done in the state's, under autocast as well.

    Returns:
        y (batch, length, d_inner) in u's dtype; with `return_last_state`, the pair (y, last state).

    Raises:
        ValueError: shapes, dtypes or devices that do not fit, an unknown implementation, or a named one that cannot
            run here.
    """
    _check(u, delta, A, B, C, D, z, delta_bias, initial_state, cu_seqlens)
    if not torch.compiler.is_compiling():  # compiled code chooses where its fake runs, and again where it runs
        implementation = resolve(implementation, u)
    if implementation == "reference":
        if cu_seqlens is not None:
            check_cu_seqlens_values(cu_seqlens, u.shape[1])
        y, last = selective_scan_reference(
            u, delta, A, B, C, D, z, delta_bias, delta_softplus, initial_state, cu_seqlens
        )
        y = y.to(u.dtype)
    else:
        tensors = (u, delta, A, B, C, D, z, delta_bias, initial_state)
        y, last = _run(tensors, cu_seqlens, delta_softplus, implementation)
    return (y, last) if return_last_state else y


def _run(
    tensors: tuple[Tensor | None, ...], cu_seqlens: Tensor | None, delta_softplus: bool, implementation: str
) -> tuple[Tensor, Tensor]:
    """`seqscale::selective_scan` by the shortest way there is in the mode that PyTorch is in."""
    inputs = (*tensors, cu_seqlens, delta_softplus)
    save = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)
    if torch.compiler.is_compiling():
        return forward_op(*inputs, save, implementation)[:2]
    if torch._C._are_functorch_transforms_active():
        return TransformedScan.apply(*inputs, True, implementation)[:2]
    if save:
        return Scan.apply(*inputs, True, implementation)
    return forward_unrecorded(*inputs, False, implementation)[:2]


def _check(
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
) -> None:
    """Refuse what does not fit together, in words. Every call pays for it: a few microseconds."""
    shape = u.shape
    if len(shape) != 3 or delta.shape != shape:
        raise ValueError(
            f"u and delta must both be (batch, length, d_inner); got {tuple(shape)} and {tuple(delta.shape)}"
        )
    batch, length, d_inner = shape
    if A.ndim != 2 or A.shape[0] != d_inner or A.shape[1] < 1:
        raise ValueError(f"A must be (d_inner, d_state) with d_inner = {d_inner}; got {tuple(A.shape)}")
    d_state = A.shape[1]
    for name, x in (("B", B), ("C", C)):
        shared = x.shape == (batch, length, d_state)
        if not shared and (
            x.ndim != 4
            or x.shape[:2] != (batch, length)
            or x.shape[3] != d_state
            or x.shape[2] < 1
            or d_inner % x.shape[2]
        ):
            raise ValueError(
                f"{name} must be (batch, length, d_state) = {(batch, length, d_state)}, or "
                f"({batch}, {length}, groups, {d_state}) with d_inner = {d_inner} a multiple of groups; "
                f"got {tuple(x.shape)}"
            )
    if B.shape != C.shape:
        raise ValueError(f"B and C must have the same groups; got {tuple(B.shape)} and {tuple(C.shape)}")
    rows = batch
    if cu_seqlens is not None:
        check_cu_seqlens(cu_seqlens, batch)
        rows = cu_seqlens.shape[0] - 1
    if z is not None and z.shape != shape:
        raise ValueError(f"z must be shaped like u, {tuple(shape)}; got {tuple(z.shape)}")
    for name, vector in (("D", D), ("delta_bias", delta_bias)):
        if vector is not None and vector.shape != (d_inner,):
            raise ValueError(f"{name} must be (d_inner,) = ({d_inner},); got {tuple(vector.shape)}")
    if initial_state is not None and initial_state.shape != (rows, d_inner, d_state):
        what = "batch" if cu_seqlens is None else "sequences"
        raise ValueError(
            f"initial_state must be ({what}, d_inner, d_state) = {(rows, d_inner, d_state)}; "
            f"got {tuple(initial_state.shape)}"
        )
    device = u.device
    for name, tensor in (
        ("u", u),
        ("delta", delta),
        ("A", A),
        ("B", B),
        ("C", C),
        ("D", D),
        ("z", z),
        ("delta_bias", delta_bias),
        ("initial_state", initial_state),
    ):
        if tensor is None:
            continue
        if tensor.dtype not in _DTYPES:
            allowed = ", ".join(str(d).removeprefix("torch.") for d in _DTYPES)
            raise ValueError(f"{name} is {tensor.dtype}; allowed: {allowed} (all of them real)")
        if tensor.device != device:
            raise ValueError(f"all tensors must be on one device; u is on {device} and {name} on {tensor.device}")
    if cu_seqlens is not None and cu_seqlens.device != device:
        raise ValueError(f"all tensors must be on one device; u is on {device} and cu_seqlens on {cu_seqlens.device}")
