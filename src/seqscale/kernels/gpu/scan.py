"""The selective scan in Triton: what is launched, in which order, with which tensors.

    forward, many channels       walk (whole sequences)
    forward, few channels        walk (summaries of chunks) -> carry -> walk (y)
    backward                     recompute -> carry, reversed -> gradient -> reduce

What the forward keeps for the backward is the state at each chunk's start. scan_plan.py says how the work is cut; each
kernel is explained in its own file, and the whole in kernels/README.md.
"""

from collections.abc import Hashable

import torch
import triton
from torch import Tensor

from seqscale.kernels.gpu.launch import Launcher, on_device_of
from seqscale.kernels.gpu.scan_carry import carry_kernel
from seqscale.kernels.gpu.scan_gradient import gradient_kernel
from seqscale.kernels.gpu.scan_plan import BLOCK, KEEP_EVERY, WORKSPACE_BYTES, chunking, plan
from seqscale.kernels.gpu.scan_recompute import recompute_kernel
from seqscale.kernels.gpu.scan_reduce import reduce_kernel
from seqscale.kernels.gpu.scan_walk import walk_kernel
from seqscale.kernels.packing import chunk_table

STATES_TURNED = True  # last states and gradients of initial ones are (rows, d_state, d_inner) in memory
NVIDIA = torch.version.hip is None and not triton.knobs.runtime.interpret
WALK_ROWS, RECOMPUTE_ROWS = 2, 4  # tokens loaded together
_WALK_OPTIONS: dict[str, int] = {"maxnreg": 128} if NVIDIA else {}  # 16 warps on a multiprocessor
_CARRY_PAIRS, _CARRY_AHEAD = 64, 16
_ROWS, _SLOTS = 512, 128  # elements, and chunk slots, that a program of the reductions takes at a time
WIDEN_FROM = 2**17  # elements of B from which it pays to widen it once, before all blocks of channels read it

_walk, _carry = Launcher(walk_kernel), Launcher(carry_kernel)
_recompute, _gradient = Launcher(recompute_kernel), Launcher(gradient_kernel)
_reduce = Launcher(reduce_kernel)


def saved_shape(
    batch: int, length: int, d_inner: int, d_state: int, sequences: int | None, save: bool
) -> tuple[int, ...]:
    """Shape of the states kept for the backward: (chunk slots, d_state, d_inner); (0,) without `save`."""
    return (chunking(batch, length, d_inner, sequences)[2], d_state, d_inner) if save else (0,)


def _rows(x: Tensor) -> Tensor:
    """Channels contiguous, as the kernels read them; a copy only where they are not."""
    return x if x.stride(-1) == 1 or x.shape[-1] == 1 else x.contiguous()


def _turned(x: Tensor) -> Tensor:
    """(..., d_inner, d_state) with the channels contiguous in memory, (..., d_state, d_inner)."""
    return x.transpose(-1, -2).contiguous()


def _vectors(x: Tensor) -> Tensor:
    """B or C, (batch, length, groups, d_state), contiguous, float32 where that saves work; rows are vector loads."""
    if x.dtype != torch.float32 and x.numel() >= WIDEN_FROM:
        return x.to(torch.float32, memory_format=torch.contiguous_format)
    return x.contiguous()


def _whole(x: Tensor | None) -> Tensor | None:
    return None if x is None else x.contiguous()


def _strides(x: Tensor | None, count: int = 2) -> tuple[int, ...]:
    return (0,) * count if x is None else x.stride()[:count]


class _Call:
    """One call: its tensors as the kernels read them, its plan, and the key under which its launches are known."""

    def __init__(
        self, u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None, z: Tensor | None,
        delta_bias: Tensor | None, cu_seqlens: Tensor | None, softplus: bool, dout: Tensor | None = None,
        d_inner: int | None = None,
    ) -> None:  # fmt: skip
        batch, length, width = u.shape
        sequences = None if cu_seqlens is None else cu_seqlens.shape[0] - 1
        self.plan = p = plan(batch, length, d_inner or width, A.shape[1], B.shape[2], sequences, width)
        self.u, self.delta, self.z = _rows(u), _rows(delta), None if z is None else _rows(z)
        self.dout = None if dout is None else _rows(dout)
        self.A, self.B, self.C = _turned(A), _vectors(B), _vectors(C)
        self.D, self.bias = _whole(D), _whole(delta_bias)
        self.table = self.first_slot = None
        if cu_seqlens is not None:
            begin, end, _, self.first_slot = chunk_table(cu_seqlens, p.chunk, length)
            self.table = torch.stack([begin, end])
        self.flags = (softplus, p.exact, p.packed)
        inputs = (self.u, self.delta, self.z, self.dout, self.A, self.B, self.C, self.D, self.bias)
        self.key: Hashable = (
            p, softplus, u.device,
            *((None if x is None else (x.dtype, x.stride(), x.data_ptr() % 16)) for x in inputs),
        )  # fmt: skip

    def f32(self, *shape: int) -> Tensor:
        return self.u.new_empty(shape, dtype=torch.float32)

    def walk(self, kind: str, slots: int, **tensors: Tensor | None) -> None:
        """Walk "whole" sequences, or chunks for their "summary" or for "y"."""
        p, t = self.plan, tensors.get
        whole, write = kind == "whole", kind != "summary"
        C, z, D = (self.C, self.z, self.D) if write else (None, None, None)
        save = whole and t("states") is not None
        softplus, exact, packed = self.flags
        arguments = (
            self.u, self.delta, z, self.A, self.B, C, D, self.bias, t("out"),
            t("initial"), t("states"), t("ends"), t("sums"), t("last"), self.table, *p.sizes,
            *_strides(self.u), *_strides(self.delta), *_strides(z), *_strides(self.B, 3), *_strides(C, 3),
            p.NB, BLOCK, WALK_ROWS, softplus, exact, whole, write, save, packed, NVIDIA,
        )  # fmt: skip
        initial = t("initial")
        key = (self.key, kind, save, None if initial is None else (initial.dtype, initial.data_ptr() % 16))
        _walk(key, (slots * p.blocks * p.groups,), arguments, num_warps=p.num_warps, **_WALK_OPTIONS)

    def carry(self, own: Tensor, sums: Tensor, enter: Tensor | None, leaving: Tensor | None, reverse: bool) -> None:
        """From chunk summaries to what enters each chunk, in place of `own`."""
        p = self.plan
        arguments = (
            own, sums, self.A, enter, own, leaving, self.first_slot, p.d_inner, p.d_state, p.chunks,
            _CARRY_PAIRS, _CARRY_AHEAD, reverse, p.packed,
        )  # fmt: skip
        entry = None if enter is None else (enter.dtype, enter.data_ptr() % 16)
        key = (self.key, reverse, entry, leaving is None)
        _carry(key, (triton.cdiv(p.d_inner * p.d_state, _CARRY_PAIRS), p.rows), arguments, num_warps=1)


def scan_forward(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None, z: Tensor | None,
    delta_bias: Tensor | None, initial_state: Tensor | None, cu_seqlens: Tensor | None, delta_softplus: bool,
    save: bool,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Run the scan; arguments and results as in `seqscale.kernels.scan_ops`."""
    with on_device_of(u):
        call = _Call(u, delta, A, B, C, D, z, delta_bias, cu_seqlens, delta_softplus)
        p = call.plan
        out = u.new_empty(u.shape)
        last = call.f32(p.rows, p.d_state, p.d_inner)
        initial = None if initial_state is None else _turned(initial_state)
        states = call.f32(p.slots, p.d_state, p.d_inner) if save or not p.whole else None
        if out.numel() == 0:  # no tokens, or no channels
            last.zero_() if initial is None else last.copy_(initial)
        elif p.whole:
            call.walk("whole", p.batch, out=out, states=states, initial=initial, last=last)
        else:
            assert states is not None
            sums = call.f32(p.slots, p.d_inner)
            call.walk("summary", p.slots if p.packed else p.slots - p.rows, ends=states, sums=sums)
            call.carry(states, sums, initial, last if p.packed else None, reverse=False)
            call.walk("y", p.slots, out=out, states=states, last=last)
        return out, last.transpose(1, 2), call.f32(0) if not save or states is None else states


def scan_backward(
    dout: Tensor, dlast: Tensor | None, u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None,
    z: Tensor | None, delta_bias: Tensor | None, initial_state: Tensor | None, cu_seqlens: Tensor | None,
    delta_softplus: bool, saved: Tensor,
) -> tuple[Tensor | None, ...]:  # fmt: skip
    """Gradients of everything: (du, ddelta, dA, dB, dC, dD, dz, ddelta_bias, dinitial)."""
    with on_device_of(u):
        call = _Call(u, delta, A, B, C, D, z, delta_bias, cu_seqlens, delta_softplus, dout)
        p = call.plan
        if u.numel() == 0:
            return _nothing(call, dlast, delta, B, C)
        turns = -(-p.workspace_bytes // WORKSPACE_BYTES)
        if turns > 1 and p.groups == 1 and p.blocks > 1:
            return _in_turns(turns, dout, dlast, u, delta, A, B, C, D, z, delta_bias, cu_seqlens, delta_softplus, saved)
        return _backward(call, dlast, saved, B.dtype, C.dtype)


def _backward(
    call: _Call, dlast: Tensor | None, saved: Tensor, B_dtype: torch.dtype, C_dtype: torch.dtype
) -> tuple[Tensor | None, ...]:
    """Launch the backward; dB and dC in the dtypes named."""
    p, u, dy = call.plan, call.u, call.dout
    assert dy is not None
    tokens, N, width, programs = p.batch * p.length, p.d_state, p.d_inner, (p.slots * p.blocks * p.groups,)
    softplus, exact, packed = call.flags
    du, ddelta = u.new_empty(u.shape), call.delta.new_empty(u.shape)
    dz = None if call.z is None else call.z.new_empty(u.shape)
    gated = None if call.z is None else dy.new_empty(u.shape)
    part = p.blocks * p.groups * tokens * N
    states = p.slots * N * width
    sizes = [p.kept, tokens * width, part, part, states, states, *[p.slots * width] * 3]
    sizes = [-(-size // 4) * 4 for size in sizes]  # each begins at a multiple of 16 bytes
    kept, steps, part_B, part_C, own, part_A, sums, part_D, part_bias = call.f32(sum(sizes)).split(sizes)
    dinitial = call.f32(p.rows, N, width)
    key = (call.key, saved.data_ptr() % 16)

    arguments = (
        u, call.delta, call.z, dy, call.A, call.B, call.C, call.D, call.bias, saved, call.table,
        steps, gated, dz, kept, own, sums, *p.sizes, *_strides(u), *_strides(call.delta), *_strides(call.z),
        *_strides(dy), *_strides(call.B, 3), *_strides(call.C, 3),
        p.NB, BLOCK, RECOMPUTE_ROWS, KEEP_EVERY, softplus, exact, packed, BLOCK, NVIDIA,
    )  # fmt: skip
    _recompute(key, programs, arguments, num_warps=p.num_warps)
    call.carry(own, sums, None if dlast is None else _turned(dlast), dinitial, reverse=True)

    if gated is not None:
        dy = gated
    arguments = (
        u, dy, steps, call.A, call.B, call.C, call.D, kept, own, call.table, du, ddelta, part_B, part_C, part_A,
        None if call.D is None else part_D, None if call.bias is None else part_bias, *p.sizes, p.batch,
        *_strides(u), *_strides(dy), *_strides(call.B, 3), *_strides(call.C, 3),
        p.NB, BLOCK, KEEP_EVERY, softplus, exact, packed,
    )  # fmt: skip
    _gradient(key, programs, arguments, num_warps=p.num_warps)

    dB = call.B.new_empty(call.B.shape, dtype=B_dtype)
    dC = call.C.new_empty(call.C.shape, dtype=C_dtype)
    dA = call.f32(width, N)
    dD, dbias = (None if x is None else call.f32(width) for x in (call.D, call.bias))
    row_programs = triton.cdiv(tokens * N, _ROWS)
    arguments = (
        part_B, part_C, part_A, part_D, part_bias, dB, dC, dA, dD, dbias,
        p.blocks, tokens * N, row_programs, p.slots, width, N, p.groups, _ROWS, _SLOTS, BLOCK,
    )  # fmt: skip
    programs = (triton.cdiv(width, BLOCK) * N + row_programs * p.groups,)
    _reduce((key, B_dtype, C_dtype), programs, arguments, num_warps=4)
    return du, ddelta, dA, dB, dC, dD, dz, dbias, dinitial.transpose(1, 2)


def _in_turns(
    turns: int, dout: Tensor, dlast: Tensor | None, u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor,
    D: Tensor | None, z: Tensor | None, delta_bias: Tensor | None, cu_seqlens: Tensor | None, softplus: bool,
    saved: Tensor,
) -> tuple[Tensor | None, ...]:  # fmt: skip
    """The backward over some of the channels after another, where the scratch memory for all would be too much."""
    d_inner = u.shape[2]
    step = -(-d_inner // turns // BLOCK) * BLOCK
    parts = []
    for begin in range(0, d_inner, step):
        some = slice(begin, begin + step)
        D_, z_, bias_ = (None if x is None else x[..., some] for x in (D, z, delta_bias))
        tensors = (u[..., some], delta[..., some], A[some], B, C, D_, z_, bias_, cu_seqlens, softplus, dout[..., some])
        enter = None if dlast is None else dlast[:, some]
        kept = saved[..., some].contiguous()
        parts.append(_backward(_Call(*tensors, d_inner=d_inner), enter, kept, torch.float32, torch.float32))
    du, ddelta, dA, dB, dC, dD, dz, dbias, dinitial = zip(*parts, strict=True)
    return (
        torch.cat(du, -1), torch.cat(ddelta, -1), torch.cat(dA),
        sum(dB[1:], dB[0]).to(B.dtype), sum(dC[1:], dC[0]).to(C.dtype),
        None if D is None else torch.cat(dD), None if z is None else torch.cat(dz, -1),
        None if delta_bias is None else torch.cat(dbias), torch.cat(dinitial, 1),
    )  # fmt: skip


def _nothing(call: _Call, dlast: Tensor | None, delta: Tensor, B: Tensor, C: Tensor) -> tuple[Tensor | None, ...]:
    """Gradients where there are no tokens: zeros, and the last state's is the initial state's."""
    p = call.plan
    du, ddelta, dB, dC = (torch.zeros_like(x) for x in (call.u, delta, B, C))
    dz = None if call.z is None else torch.zeros_like(call.z)
    dD, dbias = (None if x is None else call.f32(p.d_inner).zero_() for x in (call.D, call.bias))
    dinitial = call.f32(p.rows, p.d_inner, p.d_state).zero_() if dlast is None else dlast.to(torch.float32).clone()
    return du, ddelta, call.f32(p.d_inner, p.d_state).zero_(), dB, dC, dD, dz, dbias, dinitial
