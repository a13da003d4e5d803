"""The selective scan in PyTorch operations, forward and backward, for any device and for float64.

The recurrence h_t = a_t h_{t-1} + b_t is walked in *segments* of the sequence. Inside a segment the states of all
time steps are written out, (steps, lanes, batch, d_inner, d_state), so a segment is kept small enough for the cache
(CPU) or for memory (GPU). On a GPU, where a launch costs more than the arithmetic, a segment is further cut into
*lanes* that run side by side: position k of every lane at once, then one short walk over the lanes carries the state
across, and the carried part is added back (a two-level scan: 2 sqrt(L) launches instead of L). Packed sequences are
walked one after another: a segment never reaches over a boundary.

The forward keeps only the state at each segment's start; the backward recomputes the rest, as the Mamba paper does
(arXiv 2312.00752, section 3.3.2). The backward of the recurrence is the same recurrence run in reverse:

    g_t = dy_t C_t + a_{t+1} g_{t+1}        (gradient of h_t)
    d(delta_t A) = g_t h_{t-1} a_t,  d(delta_t u_t) = <g_t, B_t>,  dB_t = sum_d g_t delta_t u_t,  dC_t = sum_d dy_t h_t
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from seqscale.kernels.packing import chunk_table, slot_count

# Elements of state written out at once. CPU: 1 MB in float32, the size of an L2 cache; measured on a Zen 5 core,
# batch 16, d_inner 128, d_state 16: 2^17 ... 2^19 within 10 %, 2^22 twice as slow. GPU: 256 MB.
_SEGMENT_ELEMENTS = {"cpu": 2**18, "cuda": 2**26}
_GPU_STEPS_PER_LANE = 32


@dataclass(frozen=True)
class Plan:
    """How a sequence is cut: segments of `steps * lanes` tokens, the last one shorter."""

    steps: int
    lanes: int

    @property
    def segment(self) -> int:
        return self.steps * self.lanes

    def fold(self, tokens: int) -> tuple[int, int]:
        """Steps and lanes for a segment of `tokens` tokens."""
        return (tokens, 1) if self.lanes == 1 else (self.steps, -(-tokens // self.steps))


def plan(batch: int, length: int, d_inner: int, d_state: int, device_type: str) -> Plan:
    """Choose the cut for a size and a device ("cpu" or "cuda"; anything else is treated as "cuda")."""
    budget = _SEGMENT_ELEMENTS.get(device_type, _SEGMENT_ELEMENTS["cuda"])
    tokens = max(1, min(length, budget // max(1, batch * d_inner * d_state)))
    if device_type == "cpu" or tokens <= _GPU_STEPS_PER_LANE:
        return Plan(steps=tokens, lanes=1)
    return Plan(steps=_GPU_STEPS_PER_LANE, lanes=tokens // _GPU_STEPS_PER_LANE)


def state_dtype(x: Tensor) -> torch.dtype:
    """The dtype a state is kept in: float32 whatever the activations are, float64 for float64 (tests)."""
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def saved_shape(
    batch: int, length: int, d_inner: int, d_state: int, sequences: int | None, save: bool, device_type: str
) -> tuple[int, ...]:
    """Shape of what the forward keeps for the backward: the state at each segment's start."""
    if not save:
        return (0,)
    segment = plan(batch, length, d_inner, d_state, device_type).segment
    slots = -(-length // segment) if sequences is None else slot_count(length, segment, sequences)
    return (slots, batch, d_inner, d_state)


class _Segment(NamedTuple):
    """Tokens begin to end; `rows` of the states are those of its sequence."""

    slot: int
    begin: int
    end: int
    rows: slice


def _segments(cut: Plan, batch: int, length: int, cu_seqlens: Tensor | None) -> list[_Segment]:
    if cu_seqlens is None:
        begins = range(0, length, cut.segment)
        return [_Segment(i, k, min(k + cut.segment, length), slice(0, batch)) for i, k in enumerate(begins)]
    begin, end, sequence, _ = (t.tolist() for t in chunk_table(cu_seqlens, cut.segment, length))
    slots = enumerate(zip(begin, end, sequence, strict=True))
    return [_Segment(i, b, e, slice(s, s + 1)) for i, (b, e, s) in slots if e > b]


def _fold(x: Tensor, steps: int, lanes: int) -> Tensor:
    """(batch, length, ...) -> (steps, lanes, batch, ...), zero-padded at the end to steps * lanes tokens."""
    missing = steps * lanes - x.shape[1]
    if missing:
        x = torch.cat([x, x.new_zeros(x.shape[0], missing, *x.shape[2:])], dim=1)
    return x.reshape(x.shape[0], lanes, steps, *x.shape[2:]).movedim(0, 2).movedim(0, 1).contiguous()


def _unfold(x: Tensor, length: int) -> Tensor:
    """(steps, lanes, batch, ...) -> (batch, length, ...), the padding dropped."""
    x = x.movedim(1, 0).movedim(2, 0)
    return x.flatten(1, 2)[:, :length]


def _grouped(x: Tensor, dim: int, groups: int) -> Tensor:
    """Channels, dimension `dim`, as (groups, channels of a group)."""
    return x.unflatten(dim, (groups, x.shape[dim] // groups))


def _outer(x: Tensor, vector: Tensor) -> Tensor:
    """x[d] vector[group of d, n]: (..., d_inner), (..., groups, d_state) -> (..., d_inner, d_state)."""
    return (_grouped(x, -1, vector.shape[-2]).unsqueeze(-1) * vector.unsqueeze(-2)).flatten(-3, -2)


def _inner(states: Tensor, vector: Tensor) -> Tensor:
    """<states[d], vector[group of d]>: (..., d_inner, d_state), (..., groups, d_state) -> (..., d_inner)."""
    return (_grouped(states, -2, vector.shape[-2]) @ vector.unsqueeze(-1)).squeeze(-1).flatten(-2)


def _over_channels(x: Tensor, states: Tensor, groups: int) -> Tensor:
    """sum over the channels of each group of x[d] states[d, n]: -> (..., groups, d_state)."""
    return (_grouped(x, -1, groups).unsqueeze(-2) @ _grouped(states, -2, groups)).squeeze(-2)


def _states(decay: Tensor, drive: Tensor, start: Tensor) -> Tensor:
    """All h_t of a segment, in place of `drive`. Padding has decay 1 and drive 0, so it leaves the state alone.

    decay, drive: (steps, lanes, batch, d_inner, d_state); start: (batch, d_inner, d_state).
    """
    steps, lanes = decay.shape[:2]
    drive[0, 0].addcmul_(decay[0, 0], start)
    for k in range(1, steps):
        drive[k].addcmul_(decay[k], drive[k - 1])
    if lanes > 1:
        reach = decay.cumprod(0)
        carry = drive[-1, 0]
        carries = []
        for lane in range(1, lanes):
            carries.append(carry)
            carry = torch.addcmul(drive[-1, lane], reach[-1, lane], carry)
        drive[:, 1:].addcmul_(reach[:, 1:], torch.stack(carries))
    return drive


def _reverse(decay_next: Tensor, inflow: Tensor, end: Tensor) -> Tensor:
    """All g_t = inflow_t + decay_{t+1} g_{t+1} of a segment, in place of `inflow`; `end` is decay * g beyond it."""
    steps, lanes = inflow.shape[:2]
    inflow[-1, -1].add_(end)
    for k in range(steps - 2, -1, -1):
        inflow[k].addcmul_(decay_next[k], inflow[k + 1])
    if lanes > 1:
        reach = decay_next.clone()
        reach[-1] = 1.0  # the carry enters after the last step of a lane, already decayed
        reach = reach.flip(0).cumprod(0).flip(0)
        carries = []
        carry = torch.zeros_like(end)
        for lane in range(lanes - 2, -1, -1):
            first = inflow[0, lane + 1] + (reach[0, lane + 1] * carry)
            carry = decay_next[-1, lane] * first
            carries.append(carry)
        carries.reverse()
        inflow[:, :-1].addcmul_(reach[:, :-1], torch.stack(carries))
    return inflow


class _Delta:
    """delta after bias and softplus, and the way back."""

    def __init__(self, delta: Tensor, bias: Tensor | None, softplus: bool) -> None:
        self.before = delta if bias is None else delta + bias
        self.softplus = softplus
        self.value = F.softplus(self.before, threshold=40) if softplus else self.before

    def back(self, gradient: Tensor) -> Tensor:
        return gradient * torch.sigmoid(self.before) if self.softplus else gradient


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
    """Run the scan. Shapes as in `scan.selective_scan`, but B and C always (batch, length, groups, d_state).

    Returns:
        y (batch, length, d_inner) in u's dtype, the last state (batch or sequences, d_inner, d_state) in the state's
        dtype, and the states at the segments' starts (`saved_shape`), empty without `save`.
    """
    batch, length, d_inner = u.shape
    cut = plan(batch, length, d_inner, A.shape[1], u.device.type)
    dtype = state_dtype(u)
    A = A.to(dtype)
    D, delta_bias = (t if t is None else t.to(dtype) for t in (D, delta_bias))
    sequences = None if cu_seqlens is None else cu_seqlens.shape[0] - 1
    state = u.new_zeros(sequences or batch, *A.shape, dtype=dtype)  # of every row, where its sequence has come to
    if initial_state is not None:
        state.copy_(initial_state)
    saved = state.new_zeros(saved_shape(batch, length, d_inner, A.shape[1], sequences, save, u.device.type))
    y = torch.empty_like(u, memory_format=torch.contiguous_format)
    with torch.autocast(u.device.type, enabled=False):  # an outer autocast would round the states to bfloat16
        for piece in _segments(cut, batch, length, cu_seqlens):
            tokens, fold = slice(piece.begin, piece.end), cut.fold(piece.end - piece.begin)
            if save:
                saved[piece.slot] = state[piece.rows]
            x, b, c = (t[:, tokens].to(dtype) for t in (u, B, C))
            d = _Delta(delta[:, tokens].to(dtype), delta_bias, delta_softplus).value
            decay = torch.mul(_fold(d, *fold).unsqueeze(-1), A).exp_()
            states = _states(decay, _outer(_fold(d * x, *fold), _fold(b, *fold)), state[piece.rows])
            out = _unfold(_inner(states, _fold(c, *fold)), x.shape[1])
            if D is not None:
                out = out + D * x
            if z is not None:
                out = out * F.silu(z[:, tokens].to(dtype))
            y[:, tokens] = out
            state[piece.rows] = states[-1, -1]
    return y, state, saved


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
    """Gradients of `scan_forward`: (du, ddelta, dA, dB, dC, dD, dz, ddelta_bias, dinitial).

    du, ddelta, dB, dC and dz have their input's dtype, the others the state's; dD, dz and ddelta_bias are None where
    their input is.
    """
    batch, length, d_inner = u.shape
    cut = plan(batch, length, d_inner, A.shape[1], u.device.type)
    dtype, groups = state_dtype(u), B.shape[2]
    A = A.to(dtype)
    D, delta_bias = (t if t is None else t.to(dtype) for t in (D, delta_bias))
    rows = batch if cu_seqlens is None else cu_seqlens.shape[0] - 1
    # of every row, decay_{t+1} g_{t+1} where the walk back has come to
    beyond = u.new_zeros(rows, *A.shape, dtype=dtype) if dlast is None else dlast.to(dtype, copy=True)
    dA = torch.zeros_like(A)
    dD, dbias = (None if t is None else torch.zeros_like(t) for t in (D, delta_bias))
    du, ddelta, dB, dC = (torch.empty_like(t, memory_format=torch.contiguous_format) for t in (u, delta, B, C))
    dz = None if z is None else torch.empty_like(z, memory_format=torch.contiguous_format)
    with torch.autocast(u.device.type, enabled=False):
        for piece in reversed(_segments(cut, batch, length, cu_seqlens)):
            tokens, fold = slice(piece.begin, piece.end), cut.fold(piece.end - piece.begin)
            count, start, lanes = piece.end - piece.begin, saved[piece.slot], fold[1]
            x, b, c, gy = (t[:, tokens].to(dtype) for t in (u, B, C, dout))
            step = _Delta(delta[:, tokens].to(dtype), delta_bias, delta_softplus)
            d, dx, b, c = (_fold(t, *fold) for t in (step.value, step.value * x, b, c))
            decay = torch.mul(d.unsqueeze(-1), A).exp_()
            states = _states(decay, _outer(dx, b), start)

            if z is not None and dz is not None:
                y = _unfold(_inner(states, c), count)
                gate = z[:, tokens].to(dtype)
                sigmoid = torch.sigmoid(gate)
                dz[:, tokens] = gy * (y if D is None else y + D * x) * sigmoid * (1 + gate * (1 - sigmoid))
                gy = gy * (gate * sigmoid)
            if dD is not None:
                dD += (gy * x).sum((0, 1))
            gy_folded = _fold(gy, *fold)

            decay_next = torch.cat([decay[1:], decay[:1].roll(-1, dims=1)], dim=0) if lanes > 1 else decay[1:]
            g = _reverse(decay_next, _outer(gy_folded, c), beyond[piece.rows])
            dC[:, tokens] = _unfold(_over_channels(gy_folded, states, groups), count)
            dB[:, tokens] = _unfold(_over_channels(dx, g, groups), count)
            ddx = _unfold(_inner(g, b), count)

            # states[k] becomes h_{t-1} decay_t, in place: shift by one step (and lane), then multiply
            gated = g.mul_(decay)
            beyond[piece.rows] = gated[0, 0]
            gated[1:].mul_(states[:-1])
            gated[0, 0].mul_(start)
            if lanes > 1:
                gated[0, 1:].mul_(states[-1, :-1])
            dA += (gated * d.unsqueeze(-1)).sum((0, 1, 2))
            ddelta_piece = step.back(_unfold((gated * A).sum(-1), count) + ddx * x)
            if dbias is not None:
                dbias += ddelta_piece.sum((0, 1))
            ddelta[:, tokens] = ddelta_piece
            du[:, tokens] = ddx * step.value if D is None else ddx * step.value + gy * D
    return du, ddelta, dA, dB, dC, dD, dz, dbias, beyond
